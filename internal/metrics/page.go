package metrics

import (
	"math"
	"strconv"
	"strings"
)

// A page is a text in the format of Prometheus, version 0.0.4.
type page struct {
	b    []byte
	name string
}

// The types of metrics.
const (
	counter = "counter"
	gauge   = "gauge"
)

// family begins a metric; its samples follow.
func (p *page) family(name, kind, help string) {
	p.name = name
	p.b = append(p.b, "# HELP "+name+" "...)
	p.escaped(help, "\\\n")
	p.b = append(p.b, "\n# TYPE "+name+" "+kind+"\n"...)
}

// sample adds a sample; labels are names and values in turn.
func (p *page) sample(value float64, labels ...string) {
	p.b = append(p.b, p.name...)
	for i := 0; i+1 < len(labels); i += 2 {
		sep := byte(',')
		if i == 0 {
			sep = '{'
		}
		p.b = append(append(append(p.b, sep), labels[i]...), `="`...)
		p.escaped(labels[i+1], "\\\n\"")
		p.b = append(p.b, '"')
	}
	if len(labels) > 0 {
		p.b = append(p.b, '}')
	}
	p.b = append(p.b, ' ')
	if value == math.Trunc(value) && math.Abs(value) < 1<<53 {
		p.b = strconv.AppendInt(p.b, int64(value), 10)
	} else {
		p.b = strconv.AppendFloat(p.b, value, 'g', -1, 64)
	}
	p.b = append(p.b, '\n')
}

// escaped adds a text with a backslash before each of the characters in special. A strings.Replacer would make a table of
// 6 KB for each label, which was more garbage than all else that clients cause.
func (p *page) escaped(text, special string) {
	for i := 0; i < len(text); i++ {
		c := text[i]
		if strings.IndexByte(special, c) >= 0 {
			p.b = append(p.b, '\\')
		}
		if c == '\n' {
			c = 'n'
		}
		p.b = append(p.b, c)
	}
}

// single is a metric of one sample.
func (p *page) single(name, kind, help string, value float64) {
	p.family(name, kind, help)
	p.sample(value)
}

// yes is 1 or 0.
func yes(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
