package bundle

import "github.com/bot-bottle/sidecar-init/internal/compose"

// Keys of a service. What each of them means is in docs/bundle-file.md; a test holds the lists and the page together.
var (
	// joined keys mean nothing but an order of the start.
	joined = []string{"ipc", "links", "network_mode", "pid", "volumes_from"}
	// honoured keys are read in service.go and process.go.
	honoured = []string{
		"attach", "cap_add", "cap_drop", "command", "configs", "cpu_period", "cpu_quota", "cpu_shares", "cpus", "cpuset", "depends_on", "deploy", "devices", "dns", "dns_opt", "dns_search", "entrypoint",
		"env_file", "environment", "extra_hosts", "group_add", "healthcheck", "labels", "mem_limit", "mem_reservation", "memswap_limit", "oom_score_adj", "pids_limit", "post_start", "pre_start", "pre_stop",
		"profiles", "read_only", "restart", "scale", "secrets", "security_opt", "shm_size", "stop_grace_period", "stop_signal", "sysctls",
		"tmpfs", "ulimits", "umask", "user", "volumes", "working_dir", "x-sidecar-init",
	}
	// passedOver keys mean nothing inside one container. Their type is checked, what is in them is not.
	passedOver = map[string][]compose.Kind{
		"annotations": {compose.Dict, compose.List}, "build": {compose.Text, compose.Dict}, "container_name": {compose.Text}, "develop": {compose.Dict, compose.Null}, "domainname": {compose.Text},
		"expose": {compose.List}, "external_links": {compose.List}, "hostname": {compose.Text}, "image": {compose.Text}, "init": {compose.Truth, compose.Text}, "logging": {compose.Dict}, "mac_address": {compose.Text}, "networks": {compose.List, compose.Dict},
		"platform": {compose.Text}, "ports": {compose.List}, "pull_policy": {compose.Text}, "tty": {compose.Truth, compose.Text},
	}
	// refused are the other keys of the Compose Specification: they would change what a service does, and cannot here.
	refused = []string{
		"blkio_config", "cgroup", "cgroup_parent", "cpu_count", "cpu_percent", "cpu_rt_period",
		"cpu_rt_runtime", "credential_spec", "device_cgroup_rules",
		"extends", "gpus", "isolation",
		"label_file", "mem_swappiness", "models",
		"oom_kill_disable", "privileged", "provider", "pull_refresh_after",
		"runtime", "stdin_open", "storage_opt",
		"use_api_socket", "userns_mode", "uts",
	}
)

// Keys at the top of a file.
var (
	honouredTop = []string{"configs", "jobs", "name", "secrets", "services", "x-sidecar-init"}
	passedTop   = map[string]compose.Kind{"networks": compose.Dict, "version": compose.Text, "volumes": compose.Dict}
	refusedTop  = map[string]compose.Kind{"include": compose.List, "models": compose.Dict} // accepted if empty
)

// why says, for a refused key, what to do instead.
func why(key string) string {
	switch key {
	case "extends", "include":
		return "run `docker compose config` first, and use what it prints"
	case "network_mode":
		return "all daemons share the network of the container, and reach each other as 127.0.0.1"
	case "ipc", "pid":
		return "all daemons share the namespaces of the container: say it to what runs the container"
	case "privileged":
		return "a daemon cannot have more rights than the container: use cap_add, or say it to what runs the container"
	case "mem_swappiness", "cpu_count", "cpu_percent":
		return "control groups of version 2 do not have it: use mem_limit, memswap_limit and cpus"
	case "stdin_open":
		return "the standard input of a daemon is /dev/null"
	case "label_file":
		return "use labels"
	}
	return "it cannot be had for one daemon of a container"
}

// empty reports whether the value of a refused key changes nothing: false, or an empty list or mapping, where the key can
// have one. Such a key is accepted.
func empty(key string, n *compose.Node) bool {
	switch key {
	case "privileged", "stdin_open", "oom_kill_disable", "use_api_socket":
		return n.Kind == compose.Truth && !n.Val.(bool)
	case "volumes_from", "device_cgroup_rules", "links", "external_links":
		return n.Kind == compose.List && len(n.Items) == 0
	case "storage_opt":
		return n.Kind == compose.Dict && len(n.Keys) == 0
	}
	return false
}
