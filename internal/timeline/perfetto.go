package timeline

import (
	"encoding/json"
	"io"
	"time"
)

// A traceEvent is an object of the Trace Event Format of Chrome, which Perfetto reads. Times are in µs.
type traceEvent struct {
	Name  string         `json:"name"`
	Cat   string         `json:"cat,omitempty"`
	Phase string         `json:"ph"`
	At    int64          `json:"ts"`
	Dur   int64          `json:"dur,omitempty"`
	PID   int            `json:"pid"`
	TID   int            `json:"tid"`
	Scope string         `json:"s,omitempty"`
	Args  map[string]any `json:"args,omitempty"`
}

// Perfetto writes the timeline as Trace Event JSON: a thread for each daemon.
func (t *Timeline) Perfetto(w io.Writer, title string) error {
	all := []traceEvent{{Name: "process_name", Phase: "M", PID: 1, Args: map[string]any{"name": "sidecar-init " + title}}}
	for i := range t.Rows {
		r := &t.Rows[i]
		tid := i + 1
		all = append(all,
			traceEvent{Name: "thread_name", Phase: "M", PID: 1, TID: tid, Args: map[string]any{"name": r.Name}},
			traceEvent{Name: "thread_sort_index", Phase: "M", PID: 1, TID: tid, Args: map[string]any{"sort_index": i}})
		for _, b := range r.Bars {
			all = append(all, traceEvent{Name: string(b.Kind), Cat: "state", Phase: "X", At: b.From.UnixMicro(), Dur: max(b.To.Sub(b.From).Microseconds(), 1), PID: 1, TID: tid})
		}
		for _, m := range r.Marks {
			all = append(all, traceEvent{Name: m.Text, Cat: "event", Phase: "i", Scope: "t", At: m.At.UnixMicro(), PID: 1, TID: tid})
		}
	}
	return json.NewEncoder(w).Encode(struct {
		Events []traceEvent   `json:"traceEvents"`
		Unit   string         `json:"displayTimeUnit"`
		Other  map[string]any `json:"otherData"`
	}{all, "ms", map[string]any{"from": t.From.UTC().Format(time.RFC3339Nano), "to": t.To.UTC().Format(time.RFC3339Nano)}})
}
