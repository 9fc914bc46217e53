package bundle

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestWarnings: what is allowed and most probably not meant has a place and a way out; what is meant has none.
func TestWarnings(t *testing.T) {
	bin := t.TempDir()
	if err := os.WriteFile(filepath.Join(bin, "nginx"), nil, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		services string
		here     bool
		want     []string
	}{
		{`a: {command: ["$V", "${W}", "${X:-default}", "${Y-}", "${Z:+other}", "$$V", "${SET}"]}`, false, []string{
			"2:17: the variable V is not set, and nothing takes its place: set it, or write ${V:-DEFAULT}", "2:23: the variable W is not set",
		}},
		{`a: {command: ["${A:-${B}}"]}`, false, []string{"2:17: the variable B is not set"}},
		{`a: {command: [x], dns: 8.8.8.8, dns_opt: ["ndots:2"]}`, false, []string{
			"2:26: dns is that of the container, for all daemons: start it with --dns 8.8.8.8", "2:45: dns_opt is that of the container, for all daemons: start it with --dns-option ndots:2",
		}},
		{`a: {command: [-c, x]}`, false, []string{"2:7: the command of a begins with -c, which is not a program"}},
		{`a: {command: [-c, x], entrypoint: [sh]}`, false, nil},
		{`a: {image: nginx, command: [nginx, -g, x]}`, false, []string{"2:21: a has an image and no entrypoint"}},
		{`a: {image: nginx, command: [nginx, -g, x]}`, true, nil},
		{`a: {image: nginx, command: [other]}`, true, []string{"2:21: a has an image and no entrypoint"}},
		{`a: {image: nginx, command: [nginx], entrypoint: []}`, false, nil},
		{`a: {image: nginx, command: [/usr/sbin/nginx]}`, false, nil},
		{`a: {command: [x], ports: ["80:8080"]}` + "\n" + `  b: {command: [x], ports: ["81:8080/tcp"]}`, false, []string{"3:29: a and b both want the port 8080/tcp"}},
		{`a: {command: [x], ports: [{target: 53, protocol: udp}, "1.2.3.4:80:53"]}` + "\n" + `  b: {command: [x], ports: ["53:53/udp"]}`, false, []string{"3:29: a and b both want the port 53/udp"}},
		{`a: {command: [x], ports: ["80:80"]}` + "\n" + `  b: {command: [x], ports: ["80:81"]}` + "\n" + `  c: {command: [x], profiles: [p], ports: ["80"]}`, false, nil},
		{`web: {command: [x], environment: {DB: "postgres://u:p@db:5432/x", CACHE_HOST: cache, N: db}}` + "\n  db: {command: [x]}\n  cache: {command: [x]}", false, []string{
			"2:37: DB uses db as the name of a host", "2:69: CACHE_HOST uses cache as the name of a host",
		}},
		{`web: {command: [x], environment: {A: "http://db/x", B: "db:6379", C: "mydb:80", D: "/var/db:/x", E: "db"}}` + "\n  db: {command: [x]}", false, []string{
			"2:37: A uses db", "2:55: B uses db",
		}},
		{`a: {command: [x], ports: ["8000-8010:9000-9010/udp"]}` + "\n" + `  b: {command: [x], ports: ["9010:9010", {target: 9005, protocol: udp}, "9009-9020/udp"]}`, false, []string{
			"3:42: a and b both want the port 9005/udp", "3:73: a and b both want the port 9009/udp",
		}},
		{`a: {command: [x], ports: ["1-2:8000-8001", "0-99999999999999999999"]}` + "\n" + `  b: {command: [x], ports: [8001, 8002, 99999]}`, false, []string{"3:29: a and b both want the port 8001/tcp"}},
		{`web: {command: [app, --db-host, db, --name, db, --cache=cache:6379, "--server=cache", db], entrypoint: wait db:5432}` + "\n  db: {command: [x, db:1]}\n  cache: {command: web}", false, []string{
			"2:106: the entrypoint of web uses db", "2:35: the command of web uses db", "2:51: the command of web uses cache", "2:71: the command of web uses cache",
		}},
		{`a: {command: [x], volumes: ["dd:/data", /same, /src:/b], sysctls: {k.a: "1 2", k.b: 1}}` + "\n" + `  b: {command: [x], volumes: ["ee:/data/", /same, {type: tmpfs, target: /b}], sysctls: ["k.a=1  2", k.b=2]}`, false, []string{
			"3:31: a and b want /data in two ways, -v dd:/data and -v ee:/data/, and a container has one mount", "3:51: a and b want /b in two ways",
			"3:101: a and b want k.b in two ways, --sysctl k.b=1 and --sysctl k.b=2, and a container has one value",
		}},
	} {
		b := mustLoad(t, "services:\n  "+tt.services+"\n", Options{Env: []string{"PATH=" + bin, "SET="}, Here: tt.here})
		var got []string
		for _, w := range b.Warnings {
			_, text, _ := strings.Cut(w.String(), "bundle.yaml:")
			got = append(got, text)
		}
		if !slices.EqualFunc(got, tt.want, strings.HasPrefix) {
			t.Errorf("%s:\ngot  %q\nwant %q", tt.services, got, tt.want)
		}
	}
}

// TestDefaultName: as with docker compose there always is a COMPOSE_PROJECT_NAME, which is no name of the bundle.
func TestDefaultName(t *testing.T) {
	file := filepath.Join(t.TempDir(), "My Shop", "bundle.yaml")
	if err := os.Mkdir(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	for env, want := range map[string]string{"A=b": "myshop", "COMPOSE_PROJECT_NAME=other": "other"} {
		if err := os.WriteFile(file, []byte("services: {a: {command: [\"${COMPOSE_PROJECT_NAME}\"]}}"), 0o600); err != nil {
			t.Fatal(err)
		}
		b, err := loadFiles(Options{Files: []string{file}, Env: []string{env}})
		if err != nil || b.Daemons[0].Spec.Argv[0] != want || len(b.Warnings) > 0 || (b.Name == "") != (want == "myshop") {
			t.Errorf("%s: got %+v, %v, want %s", env, b, err, want)
		}
	}
}
