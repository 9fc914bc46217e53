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
	p.b = append(p.b, strings.NewReplacer("\\", `\\`, "\n", `\n`).Replace(help)...)
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
		p.b = append(p.b, strings.NewReplacer("\\", `\\`, "\n", `\n`, `"`, `\"`).Replace(labels[i+1])...)
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
