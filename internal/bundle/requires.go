package bundle

import (
	"fmt"
	"math"
	"path"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/bot-bottle/sidecar-init/internal/compose"
)

// A RequirementKind says what it is that a container must have.
type RequirementKind string

// The kinds of requirements. What holds is in package needs.
const (
	NeedsPath   RequirementKind = "path"   // Target is there: a bind mount
	NeedsMount  RequirementKind = "mount"  // Target is on a mount other than /: a volume
	NeedsTmpfs  RequirementKind = "tmpfs"  // Target is a tmpfs
	NeedsHost   RequirementKind = "host"   // the name Target means the address Value
	NeedsSysctl RequirementKind = "sysctl" // /proc/sys has Value for Target
	NeedsDevice RequirementKind = "device" // the node Target is there
	NeedsShm    RequirementKind = "shm"    // /dev/shm has Size bytes
	// NeedsReadOnly: the kernel has Landlock, else / is read-only.
	NeedsReadOnly RequirementKind = "read-only"
	// NeedsNothing is what is not looked for.
	NeedsNothing RequirementKind = "nothing"
)

// What happens where the container lacks something.
const (
	RequiresRefuse = "refuse" // nothing is started
	RequiresWarn   = "warn"   // a line says so
)

// A Requirement is something that the file says of the container, which is made by others: run looks whether it is there.
type Requirement struct {
	Service string          `json:"service"`
	Key     string          `json:"key"` // such as volumes
	Kind    RequirementKind `json:"kind"`
	Target  string          `json:"target,omitempty"`
	Value   string          `json:"value,omitempty"`
	Size    int64           `json:"size,omitempty"` // in bytes
	// ReadOnly: a volume that the service only reads.
	ReadOnly bool `json:"read_only,omitempty"`
	// Flag are the words that docker run needs for it; none where it is no matter of docker run.
	Flag []string `json:"flag"`
	File string   `json:"file"`
	Line int      `json:"line"`
	Col  int      `json:"col"`
}

// String is the place of the requirement, and where in the file it stands.
func (r *Requirement) String() string {
	return compose.Pos{File: r.File, Line: r.Line, Col: r.Col}.String()
}

// FlagText is the flag as a shell takes it.
func (r *Requirement) FlagText() string { return strings.Join(quoteWords(r.Flag), " ") }

// require adds a requirement of s.
func (s *service) require(at compose.Pos, q Requirement) {
	q.Service, q.File, q.Line, q.Col = s.name, at.File, at.Line, at.Col
	s.requires = append(s.requires, q)
}

// Note is something of the file that means nothing here, or something else than with Docker.
type Note struct {
	File string `json:"file"`
	Line int    `json:"line"`
	Col  int    `json:"col"`
	Text string `json:"text"`
}

func (s *service) warn(at compose.Pos, text string) {
	s.warnings = append(s.warnings, Warning{File: at.File, Line: at.Line, Col: at.Col, Text: text})
}

func (s *service) note(at compose.Pos, text string) {
	s.notes = append(s.notes, Note{at.File, at.Line, at.Col, text})
}

// container reads the keys of a service that speak of its container; false is another key.
func (r *reader) container(s *service, e compose.Entry) bool {
	switch n := e.Val; e.Key {
	case "volumes":
		r.volumes(s, n)
	case "tmpfs":
		for _, item := range r.oneOrMore(n, e.Key) {
			target, _, _ := strings.Cut(item.Text, ":")
			r.tmpfs(s, item, target, []string{"--tmpfs", item.Text})
		}
	case "extra_hosts":
		r.extraHosts(s, n)
	case "dns", "dns_search", "dns_opt":
		for _, item := range r.oneOrMore(n, e.Key) {
			flag := "--" + strings.NewReplacer("_opt", "-option", "_", "-").Replace(e.Key)
			s.require(item.At, Requirement{Key: e.Key, Kind: NeedsNothing, Value: item.Text, Flag: []string{flag, item.Text}})
			s.warn(item.At, e.Key+" is that of the container, for all daemons: start it with "+strings.Join(quoteWords([]string{flag, item.Text}), " "))
		}
	case "sysctls":
		for _, v := range r.pairs(n, e.Key) {
			value := ""
			if v.value != nil {
				value = *v.value
			}
			s.require(v.at, Requirement{Key: e.Key, Kind: NeedsSysctl, Target: v.key, Value: value, Flag: []string{"--sysctl", v.key + "=" + value}})
		}
	case "devices":
		r.devices(s, n)
	case "shm_size":
		size := r.size(n, e.Key, 0, math.MaxInt64, "a size")
		if size > 0 {
			s.require(n.At, Requirement{Key: e.Key, Kind: NeedsShm, Target: "/dev/shm", Size: size, Flag: []string{"--shm-size", n.Text}})
		}
	default:
		return false
	}
	return true
}

// oneOrMore reads a string or a list of strings.
func (r *reader) oneOrMore(n *compose.Node, what string) []*compose.Node {
	if n.Kind == compose.Text {
		return []*compose.Node{n}
	}
	if n.Kind != compose.List {
		r.want(n, what, "a string or a list of strings")
		return nil
	}
	r.strings(n, what, true)
	return slices.DeleteFunc(slices.Clone(n.Items), func(i *compose.Node) bool { return i.Kind != compose.Text || i.Bad })
}

func (r *reader) tmpfs(s *service, n *compose.Node, target string, flag []string) {
	s.require(n.At, Requirement{Key: "tmpfs", Kind: NeedsTmpfs, Target: path.Clean(target), Flag: flag})
}

// volumes reads volumes, in both forms. Of two for one target the later counts, as in Compose.
func (r *reader) volumes(s *service, n *compose.Node) {
	if n.Kind != compose.List {
		r.want(n, "volumes", "a list")
		return
	}
	first := len(s.requires)
	for _, item := range n.Items {
		before := len(s.requires)
		switch item.Kind {
		case compose.Text:
			if !item.Bad {
				r.shortVolume(s, item)
			}
		case compose.Dict:
			r.longVolume(s, item)
		default:
			r.want(item, "an item of volumes", "a string or a mapping")
		}
		if len(s.requires) > before {
			q := s.requires[before]
			if i := slices.IndexFunc(s.requires[first:before], func(o Requirement) bool { return o.Target == q.Target }); i >= 0 {
				s.requires[first+i], s.requires = q, s.requires[:before]
			}
		}
	}
}

// shortVolume reads [SOURCE:]TARGET[:OPTIONS].
func (r *reader) shortVolume(s *service, n *compose.Node) {
	parts := splitVolume(n.Text)
	switch {
	case len(n.Text) > 2 && slices.Contains(parts, ""):
		r.probs.Add(n.At, "the volume %s has nothing between two colons: write [SOURCE:]TARGET[:OPTIONS]", n.Show())
		return
	case n.Text == "":
		r.probs.Add(n.At, "a volume must not be empty")
		return
	case len(parts) > 3:
		r.probs.Add(n.At, "the volume %s has too many colons: write [SOURCE:]TARGET[:OPTIONS]", n.Show())
		return
	case len(parts) == 1 || len(n.Text) <= 2:
		r.volume(s, n, NeedsMount, "", n.Text, nil)
		return
	}
	kind := NeedsMount
	if isPath(parts[0]) {
		kind = NeedsPath
	}
	r.volume(s, n, kind, parts[0], parts[1], parts[2:])
}

// splitVolume splits at colons, but not after a single letter, which is a drive of Windows: so does compose-go.
func splitVolume(s string) (parts []string) {
	start := 0
	for i := range len(s) {
		if s[i] == ':' && !isLetter(s[start:i]) {
			parts = append(parts, s[start:i])
			start = i + 1
		}
	}
	return append(parts, s[start:])
}

// isLetter reports whether s is one letter.
func isLetter(s string) bool {
	r, n := utf8.DecodeRuneInString(s)
	return n == len(s) && unicode.IsLetter(r)
}

// isPath reports whether the source of a volume is a path, of this system or of Windows, and no name: so does compose-go.
func isPath(source string) bool {
	drive, _, found := strings.Cut(source, ":")
	return strings.ContainsAny(source[:1], "./~") || strings.HasPrefix(source, `\\`) || found && isLetter(drive)
}

// volume adds a volume that docker run has as -v.
func (r *reader) volume(s *service, n *compose.Node, kind RequirementKind, source, target string, options []string) {
	if kind == NeedsPath {
		source = r.hostPath(source)
	}
	flag := strings.Join(slices.Concat(nonEmpty(source), []string{target}, options), ":")
	readOnly := slices.Contains(strings.Split(strings.Join(options, ","), ","), "ro")
	s.require(n.At, Requirement{Key: "volumes", Kind: kind, Target: path.Clean(target), Value: source, ReadOnly: readOnly, Flag: []string{"-v", flag}})
	if readOnly {
		s.note(n.At, fmt.Sprintf("%s is read-only for the whole container if its mount is; else Landlock makes it so for %s alone, which can then make nothing new in the directories above it, itself",
			target, s.name))
	}
}

func nonEmpty(s string) []string {
	if s == "" {
		return nil
	}
	return []string{s}
}

// longVolume reads the mapping form.
func (r *reader) longVolume(s *service, n *compose.Node) {
	var kind, source, target string
	readOnly := false
	known := []string{"type", "source", "target", "read_only", "consistency", "bind", "volume", "tmpfs", "image"}
	size := ""
	ok := r.mapping(n, "volumes", known, func(e compose.Entry) bool {
		switch e.Key {
		case "type":
			kind = r.oneOf(e.Val, e.Key, "bind", "volume", "tmpfs", "cluster", "npipe", "image")
		case "source":
			source = r.str(e.Val, e.Key)
		case "target":
			target = r.str(e.Val, e.Key)
		case "read_only":
			readOnly = r.truth(e.Val, e.Key)
		case "consistency":
			r.str(e.Val, e.Key)
		case "bind", "volume", "image":
			if e.Val.Kind != compose.Dict {
				r.want(e.Val, e.Key, "a mapping")
			}
		case "tmpfs":
			r.mapping(e.Val, e.Key, []string{"size", "mode"}, func(e compose.Entry) bool {
				if e.Key == "size" {
					size = ":size=" + e.Val.Text
				}
				return e.Key == "size" || e.Key == "mode"
			})
		default:
			return false
		}
		return true
	})
	var options []string
	if readOnly {
		options = []string{"ro"}
	}
	switch {
	case !ok || n.Bad:
	case n.Get("type") == nil:
		r.probs.Add(n.At, "a volume needs a type: bind, volume or tmpfs")
	case kind == "": // which was told
	case target == "":
		r.probs.Add(n.At, "a volume needs a target")
	case kind == "bind" && source == "":
		r.probs.Add(n.At, "a volume of type bind needs a source")
	case kind == "bind":
		r.volume(s, n, NeedsPath, source, target, options)
	case kind == "volume":
		r.volume(s, n, NeedsMount, source, target, options)
	case kind == "tmpfs":
		s.require(n.At, Requirement{Key: "volumes", Kind: NeedsTmpfs, Target: path.Clean(target), Flag: []string{"--tmpfs", target + size}})
	default:
		s.late.Add(n.At, "a volume of type %s is not supported: what runs the container makes its mounts", kind)
	}
}

// extraHosts reads extra_hosts: a mapping of names, or a list of NAME=ADDRESS or NAME:ADDRESS.
func (r *reader) extraHosts(s *service, n *compose.Node) {
	add := func(at compose.Pos, name, address string) {
		address = strings.TrimSpace(address)
		if strings.HasPrefix(address, "[") && strings.HasSuffix(address, "]") {
			address = address[1 : len(address)-1]
		}
		if strings.TrimSpace(name) == "" || address == "" {
			r.probs.Add(at, "extra_hosts needs a name and an address: write NAME=ADDRESS")
			return
		}
		s.require(at, Requirement{Key: "extra_hosts", Kind: NeedsHost, Target: name, Value: address, Flag: []string{"--add-host", name + "=" + address}})
	}
	switch n.Kind {
	case compose.Dict:
		for _, e := range n.Keys {
			if e.Val.Kind == compose.List {
				for i, address := range r.strings(e.Val, e.Key, false) {
					add(e.Val.Items[i].At, e.Key, address)
				}
				continue
			}
			add(e.Val.At, e.Key, r.str(e.Val, e.Key))
		}
	case compose.List:
		for _, item := range n.Items {
			if item.Kind != compose.Text || item.Bad {
				r.str(item, "an item of extra_hosts")
				continue
			}
			name, addresses, ok := strings.Cut(item.Text, "=")
			if !ok {
				name, addresses, _ = strings.Cut(item.Text, ":")
			}
			for address := range strings.SplitSeq(addresses, ",") {
				add(item.At, name, address)
			}
		}
	default:
		r.want(n, "extra_hosts", "a mapping or a list of NAME=ADDRESS")
	}
}

// devices reads devices: SOURCE[:TARGET[:PERMISSIONS]], the mapping form, or a CDI name.
func (r *reader) devices(s *service, n *compose.Node) {
	if n.Kind != compose.List {
		r.want(n, "devices", "a list")
		return
	}
	for _, item := range n.Items {
		var source, target, permissions string
		switch item.Kind {
		case compose.Text:
			parts := strings.Split(item.Text, ":")
			if len(parts) > 3 {
				r.probs.Add(item.At, "the device %s has too many colons: write SOURCE[:TARGET[:PERMISSIONS]]", item.Show())
				continue
			}
			parts = append(parts, "", "")
			source, target, permissions = parts[0], parts[1], parts[2]
		case compose.Dict:
			r.mapping(item, "devices", []string{"source", "target", "permissions"}, func(e compose.Entry) bool {
				switch e.Key {
				case "source":
					source = r.str(e.Val, e.Key)
				case "target":
					target = r.str(e.Val, e.Key)
				case "permissions":
					permissions = r.str(e.Val, e.Key)
				default:
					return false
				}
				return true
			})
			if source == "" {
				r.probs.Add(item.At, "a device needs a source")
				continue
			}
			if item.Get("target") == nil {
				r.probs.Add(item.At, "a device that is a mapping needs a target")
				continue
			}
		default:
			r.want(item, "an item of devices", "a string or a mapping")
			continue
		}
		if !strings.HasPrefix(source, "/") { // vendor.com/class=name
			s.note(item.At, "the device "+source+" is a CDI name: --device "+source)
			continue
		}
		flag := source
		for _, part := range []string{target, permissions} {
			if part != "" {
				flag += ":" + part
			}
		}
		s.require(item.At, Requirement{Key: "devices", Kind: NeedsDevice, Target: orDefault(target, source), Value: source, Flag: []string{"--device", flag}})
	}
}
