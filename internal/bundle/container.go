package bundle

import (
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
)

// What makes a container that has what is required, in the words of those who make one.

// composeLines are the lines of a service of a Compose file for the container, and of its top level.
func composeLines(all []Requirement) (lines []string) {
	var keys, volumes []string
	values := map[string][]string{}
	for i := range all {
		q := &all[i]
		if len(q.Flag) == 0 { // no container brings it
			continue
		}
		key, value := q.Key, q.Flag[1]
		switch {
		case q.Kind == NeedsTmpfs:
			key = "tmpfs"
		case q.Kind == NeedsMount && q.Value != "" && !slices.Contains(volumes, strconv.Quote(q.Value)+": {}"):
			volumes = append(volumes, strconv.Quote(q.Value)+": {}")
		}
		if !slices.Contains(keys, key) {
			keys = append(keys, key)
		}
		if !slices.Contains(values[key], value) {
			values[key] = append(values[key], value)
		}
	}
	for _, key := range keys {
		if key == "shm_size" {
			lines = append(lines, key+": "+values[key][0])
			continue
		}
		lines = append(lines, key+": ["+strings.Join(quoteAll(values[key]), ", ")+"]")
	}
	if len(volumes) > 0 {
		lines = append(lines, "volumes: { "+strings.Join(volumes, ", ")+" }   # at the top of that file")
	}
	return lines
}

// podLines are the lines of a Pod: those of its spec, then those of its container.
func podLines(all []Requirement) (lines []string) {
	var volumes, mounts, aliases, sysctls, devices []string
	dns := map[string][]string{}
	done := map[string]bool{}
	for i := range all {
		q := &all[i]
		what := string(q.Kind) + q.Key + " " + q.Target + " " + q.Value
		if done[what] || len(q.Flag) == 0 {
			continue
		}
		done[what] = true
		source := ""
		switch q.Kind {
		case NeedsPath:
			source = "hostPath: { path: " + strconv.Quote(q.Value) + " }"
		case NeedsMount:
			source = "emptyDir: {}"
			if q.Value != "" {
				source = "persistentVolumeClaim: { claimName: " + strconv.Quote(q.Value) + " }"
			}
		case NeedsTmpfs:
			source = "emptyDir: { medium: Memory }"
		case NeedsShm:
			source = fmt.Sprintf("emptyDir: { medium: Memory, sizeLimit: %d }", q.Size)
		case NeedsHost:
			aliases = append(aliases, fmt.Sprintf("{ ip: %q, hostnames: [%q] }", q.Value, q.Target))
		case NeedsSysctl:
			sysctls = append(sysctls, fmt.Sprintf("{ name: %q, value: %q }", q.Target, q.Value))
		case NeedsDevice:
			devices = append(devices, strconv.Quote(q.Target))
		default:
			dns[q.Key] = append(dns[q.Key], q.Value)
		}
		if source != "" {
			name := fmt.Sprintf("v%d", len(volumes)+1)
			volumes = append(volumes, "{ name: "+name+", "+source+" }")
			mounts = append(mounts, "{ name: "+name+", mountPath: "+strconv.Quote(path.Clean(q.Target))+" }")
		}
	}
	list := func(key string, items []string) {
		if len(items) > 0 {
			lines = append(lines, key+": ["+strings.Join(items, ", ")+"]")
		}
	}
	list("hostAliases", aliases)
	if len(dns) > 0 {
		var options []string
		for _, o := range dns["dns_opt"] {
			name, value, _ := strings.Cut(o, ":")
			options = append(options, fmt.Sprintf("{ name: %q, value: %q }", name, value))
		}
		lines = append(lines, fmt.Sprintf("dnsConfig: { nameservers: [%s], searches: [%s], options: [%s] }",
			strings.Join(quoteAll(dns["dns"]), ", "), strings.Join(quoteAll(dns["dns_search"]), ", "), strings.Join(options, ", ")))
	}
	if len(sysctls) > 0 {
		lines = append(lines, "securityContext: { sysctls: ["+strings.Join(sysctls, ", ")+"] }")
	}
	list("volumes", volumes)
	list("containers[0].volumeMounts", mounts)
	if len(devices) > 0 {
		lines = append(lines, "# "+strings.Join(devices, ", ")+": by a device plugin, under resources.limits of the container")
	}
	return lines
}

func quoteAll(words []string) (out []string) {
	for _, w := range words {
		out = append(out, strconv.Quote(w))
	}
	return out
}
