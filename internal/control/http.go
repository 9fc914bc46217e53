package control

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/bot-bottle/sidecar-init/child"
	"github.com/bot-bottle/sidecar-init/client"
	"github.com/bot-bottle/sidecar-init/internal/bundle"
)

// A handler answers a request, or returns an error, which becomes the answer. The body was read.
type handler func(w http.ResponseWriter, r *request) error

// A request is one whose body, which was small, has been read.
type request struct {
	*http.Request
	body      []byte
	ctl       *http.ResponseController
	writeTime time.Duration  // for each piece of the answer
	may       bundle.Control // what its client may ask
}

// A failure is an answer that is no success.
type failure struct {
	Status  int             `json:"-"`
	Message string          `json:"error"`
	Nearest string          `json:"nearest,omitempty"`
	Control bundle.Control  `json:"control,omitempty"`
	Daemons []client.Daemon `json:"daemons,omitempty"`
	all     []child.Status  `json:"-"` // what Daemons are made of, when it is time to
}

func (f *failure) Error() string { return f.Message }

// Refuse is the error of a Reloader that a client gets with this status.
func Refuse(status int, format string, args ...any) error {
	return &failure{Status: status, Message: fmt.Sprintf(format, args...)}
}

// routes is the whole interface.
func (s *Server) routes() http.Handler {
	mux := http.NewServeMux()
	methods := map[string][]string{}
	for _, r := range s.table() {
		s.handle(mux, r.method+" "+r.path, r.handler)
		methods[r.path] = append(methods[r.path], r.method)
	}
	for path, allowed := range methods {
		s.handle(mux, path, notAllowed(allowed)) // what no other pattern of that path takes
	}
	s.handle(mux, "/", s.notFound)
	return mux
}

type route struct {
	method, path string
	handler      handler
}

// table lists the routes.
func (s *Server) table() []route {
	return []route{
		{"GET", "/v1/daemons", s.list},
		{"GET", "/v1/daemons/{name}", s.show},
		{"PUT", "/v1/daemons/{name}", s.add},
		{"DELETE", "/v1/daemons/{name}", s.takeAway},
		{"GET", "/v1/daemons/{name}/logs", s.logs},
		{"POST", "/v1/daemons/{name}/start", s.start},
		{"POST", "/v1/daemons/{name}/stop", s.stop},
		{"POST", "/v1/daemons/{name}/restart", s.restart},
		{"POST", "/v1/daemons/{name}/signal", s.signal},
		{"POST", "/v1/daemons/{name}/pause", s.pause},
		{"POST", "/v1/daemons/{name}/unpause", s.unpause},
		{"GET", "/v1/jobs", s.jobs},
		{"GET", "/v1/jobs/{name}/runs", s.runs},
		{"POST", "/v1/jobs/{name}/run", s.runJob},
		{"POST", "/v1/jobs/{name}/cancel", s.cancelJob},
		{"POST", "/v1/jobs/{name}/pause", s.pauseJob},
		{"POST", "/v1/jobs/{name}/resume", s.resumeJob},
		{"GET", "/v1/logs", s.logs},
		{"GET", "/v1/events", s.events},
		{"GET", "/v1/wait", s.wait},
		{"GET", "/v1/healthy", s.healthy},
		{"GET", "/v1/bundle", s.bundle},
		{"POST", "/v1/reload", s.reload},
		{"GET", "/metrics", s.metrics},
	}
}

func notAllowed(methods []string) handler {
	method := strings.Replace(strings.Join(methods, ", "), "GET", "GET, HEAD", 1)
	return func(w http.ResponseWriter, r *request) error {
		w.Header().Set("Allow", method)
		return &failure{Status: http.StatusMethodNotAllowed, Message: "the method must be " + method}
	}
}

func (s *Server) notFound(http.ResponseWriter, *request) error {
	return &failure{Status: http.StatusNotFound, Message: "there is no such path; docs/openapi.yaml has them all"}
}

// handle makes an http.Handler of a handler.
func (s *Server) handle(mux *http.ServeMux, pattern string, h handler) {
	mux.HandleFunc(pattern, func(w http.ResponseWriter, hr *http.Request) {
		r := &request{Request: hr, ctl: http.NewResponseController(w), writeTime: s.o.writeTime}
		err := r.read(w)
		if err == nil {
			work(r.Context())
			if err = s.admit(r); err == nil {
				err = h(w, r)
			}
		}
		if err != nil && hr.Context().Err() == nil {
			s.fail(w, r, err)
		}
	})
}

// read reads the body, so that whatever follows is about a client that has said all that it has to say.
func (r *request) read(w http.ResponseWriter) error {
	if r.ContentLength != 0 {
		var tooLarge *http.MaxBytesError
		var err error
		limit := int64(maxBody)
		if r.Method == http.MethodPut {
			limit = maxDaemon
		}
		if r.body, err = io.ReadAll(http.MaxBytesReader(w, r.Body, limit)); errors.As(err, &tooLarge) {
			return &failure{Status: http.StatusRequestEntityTooLarge, Message: "the body is too large"}
		} else if err != nil {
			w.Header().Set("Connection", "close")
			return &failure{Status: http.StatusBadRequest, Message: "cannot read the body"}
		}
	}
	// A request that waits would otherwise be cancelled when the time to read it is over.
	return r.ctl.SetReadDeadline(time.Time{})
}

// wrap is around all handlers: a mistake of ours is told in the log, and costs one answer.
func (s *Server) wrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			if v := recover(); v != nil {
				s.o.Printf("internal error: %s %s: %v\n%s", r.Method, r.URL.Path, v, debug.Stack())
				panic(http.ErrAbortHandler)
			}
		}()
		next.ServeHTTP(w, r)
	})
}

// fail answers with an error.
func (s *Server) fail(w http.ResponseWriter, r *request, err error) {
	var f *failure
	if !errors.As(err, &f) {
		f = &failure{Status: http.StatusInternalServerError, Message: err.Error()}
	}
	if f.Status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "1")
	}
	if len(f.all) == 0 { // it is small, and who is refused need not wait to be told
		if b, err := encode(f); err == nil {
			r.write(w, f.Status, b)
		}
		return
	}
	_ = s.answer(w, r, func() (int, []byte, error) {
		g := *f
		g.Daemons = s.describe(f.all)
		b, err := encode(g)
		return g.Status, b, err
	})
}

// encode makes JSON.
func encode(v any) ([]byte, error) {
	b, err := json.Marshal(v)
	return append(b, '\n'), err
}

// answer writes what build makes when it is its turn. What is as large as there are daemons is got by build, not before, so
// that there is one of it, however many ask.
func (s *Server) answer(w http.ResponseWriter, r *request, build func() (status int, b []byte, err error)) error {
	var status int
	var b []byte
	var err error
	if paced := s.answers.do(r.Context(), func() int {
		if status, b, err = build(); err == nil {
			err = s.flight.take(r.Context(), len(b))
		}
		return len(b)
	}); paced != nil {
		return paced
	}
	if err != nil {
		return err
	}
	defer s.flight.give(len(b))
	r.write(w, status, b)
	return nil
}

// write writes a whole answer. The error is that of the connection, which is nobody's business.
func (r *request) write(w http.ResponseWriter, status int, b []byte) {
	h := w.Header()
	if h.Get("Content-Type") == "" {
		h.Set("Content-Type", "application/json")
	}
	h.Set("Content-Length", strconv.Itoa(len(b)))
	_ = r.ctl.SetWriteDeadline(time.Now().Add(r.writeTime))
	w.WriteHeader(status)
	_, _ = w.Write(b)
}
