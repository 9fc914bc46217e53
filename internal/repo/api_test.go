package repo_test

import (
	"fmt"
	"go/ast"
	"os"
	"slices"
	"strings"
	"testing"
)

// public are the packages for others, each with the number of names that it exports beside methods and fields, if those are more
// than thirty, and the reason.
var public = []struct {
	dir    string
	most   int
	reason string
}{
	{"actor", 30, ""},
	{"child", 130, "the states, steps, kinds of events and policies are constants, one name each, as on the control socket; the rest is below thirty-five types"},
	{"childtest", 30, ""},
	{"client", 110, "each answer and event of the control socket is a type, and each state a constant; what one calls are methods of Client"},
	{"control", 30, ""},
	{"log", 30, ""},
	{"mailbox", 30, ""},
	{"root", 30, ""},
}

// TestExported: docs/api.txt lists what the public packages export, so that a change of it is seen; and the doors are narrow.
func TestExported(t *testing.T) {
	t.Chdir(top)
	var b strings.Builder
	for _, p := range public {
		names, members := exports(t, p.dir)
		if len(names) > p.most {
			t.Errorf("package %s exports %d names, at most %d are meant: %v", p.dir, len(names), p.most, names)
		}
		if p.most > 30 && p.reason == "" {
			t.Errorf("package %s may export more than thirty names without a reason", p.dir)
		}
		for _, name := range slices.Sorted(slices.Values(append(names, members...))) {
			fmt.Fprintf(&b, "%s.%s\n", p.dir, name)
		}
	}
	if *update {
		if err := os.WriteFile("docs/api.txt", []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if text, err := os.ReadFile("docs/api.txt"); err != nil || string(text) != b.String() {
		t.Errorf("docs/api.txt is not what is exported (%v): go test -run TestExported ./internal/repo -update, and read the difference", err)
	}
}

// exports are the exported names of a package on Linux, and those of their methods and fields.
func exports(t *testing.T, dir string) (names, members []string) {
	t.Helper()
	for _, s := range mustSources(t) {
		if s.dir != dir || strings.HasSuffix(s.path, "_test.go") || strings.HasSuffix(s.path, "_other.go") {
			continue
		}
		for _, d := range s.file.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				if !d.Name.IsExported() || !exportedReceiver(d) {
					continue
				}
				if d.Recv == nil {
					names = append(names, d.Name.Name)
				} else {
					members = append(members, receiver(d)+"."+d.Name.Name)
				}
			case *ast.GenDecl:
				for _, spec := range d.Specs {
					switch spec := spec.(type) {
					case *ast.ValueSpec:
						for _, n := range spec.Names {
							if n.IsExported() {
								names = append(names, n.Name)
							}
						}
					case *ast.TypeSpec:
						if spec.Name.IsExported() {
							names = append(names, spec.Name.Name)
							members = append(members, fields(spec)...)
						}
					}
				}
			}
		}
	}
	return names, members
}

// receiver is the type that a method has.
func receiver(d *ast.FuncDecl) string {
	name := ""
	ast.Inspect(d.Recv.List[0].Type, func(n ast.Node) bool {
		if id, ok := n.(*ast.Ident); ok && name == "" {
			name = id.Name
		}
		return name == ""
	})
	return name
}

// fields are the exported fields of a struct, or methods of an interface.
func fields(spec *ast.TypeSpec) (out []string) {
	var list *ast.FieldList
	switch t := spec.Type.(type) {
	case *ast.StructType:
		list = t.Fields
	case *ast.InterfaceType:
		list = t.Methods
	default:
		return nil
	}
	for _, f := range list.List {
		for _, n := range f.Names {
			if n.IsExported() {
				out = append(out, spec.Name.Name+"."+n.Name)
			}
		}
	}
	return out
}
