package shim

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"strings"
	"syscall"

	"github.com/bot-bottle/sidecar-init/child"
)

// A request is what the shim is to do.
type request struct {
	Rlimits         []child.Rlimit
	Caps            change
	NoNewPrivileges bool
	OOMScoreAdj     *int
	Umask           *int
	CPUs            []int
	PIDVariable     string
	Wall            *child.Wall
	Cgroup          string
	Credential      *syscall.Credential
	Argc            int

	// The strings are bytes to the system, and JSON would change what is not UTF-8.
	path, dir string
	argv, env []string
}

// maxRequest bounds a request: the kernel takes no more arguments and environment than this.
const maxRequest = 16 << 20

// encode makes bytes of a request: their number, JSON, then the strings, with a NUL after each.
func (r *request) encode() ([]byte, error) {
	r.Argc = len(r.argv)
	b, err := json.Marshal(r)
	if err != nil {
		return nil, err
	}
	b = append(append(make([]byte, sizeLen), b...), 0)
	for _, list := range [][]string{{r.path, r.dir}, r.argv, r.env} {
		for _, s := range list {
			if strings.IndexByte(s, 0) >= 0 {
				return nil, syscall.EINVAL // as execve says
			}
			b = append(append(b, s...), 0)
		}
	}
	if len(b) > maxRequest {
		return nil, syscall.E2BIG
	}
	binary.BigEndian.PutUint32(b, uint32(len(b)-sizeLen))
	return b, nil
}

// sizeLen is how many bytes the number has. It is there so that the reader need not wait for the end of the pipe, which
// another process that is just being started may hold open.
const sizeLen = 4

// decode is the reverse, without the number.
func decode(b []byte) (*request, error) {
	head, rest, ok := bytes.Cut(b, []byte{0})
	r := &request{}
	if err := json.Unmarshal(head, r); err != nil {
		return nil, err
	}
	list := strings.Split(string(rest), "\x00")
	if n := len(list) - 3; !ok || list[len(list)-1] != "" || r.Argc < 1 || r.Argc > n {
		return nil, errors.New("strings are missing")
	}
	list = list[:len(list)-1]
	r.path, r.dir = list[0], list[1]
	r.argv, r.env = list[2:2+r.Argc], list[2+r.Argc:]
	return r, nil
}
