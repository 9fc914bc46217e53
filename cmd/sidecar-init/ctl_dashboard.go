package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/bot-bottle/sidecar-init/internal/dashboard"
)

func (p *program) dashboardCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "dashboard [--listen ADDRESS] [--actions] [--host NAME]...",
		Short: "Serve a web page about the daemons",
		Long: `Serve a web page about the daemons: their status, logs, events, jobs and timeline, and what a reload would do. It is read-only, unless
--actions is given, which prints a URL with a token. On an address that is not loopback the token is needed for reading too.`,
		Args: cobra.NoArgs,
	}
	c := p.newCaller(cmd)
	cmd.ValidArgsFunction = nil
	listen := cmd.Flags().String("listen", "127.0.0.1:8400", "`ADDRESS` to listen on, as HOST:PORT")
	actions := cmd.Flags().Bool("actions", false, "allow whoever has the token to start, stop, restart and signal daemons")
	hosts := cmd.Flags().StringArray("host", nil, "a further host `NAME` under which the page may be reached; can be repeated")
	cmd.RunE = func(*cobra.Command, []string) error {
		if _, _, err := net.SplitHostPort(*listen); err != nil {
			return usagef("invalid value %q of --listen: want HOST:PORT, such as 127.0.0.1:8400", *listen)
		}
		to, _, cancel, err := c.connect() // which does not ask yet: the page says what is wrong, and tries again
		if err != nil {
			return err
		}
		defer cancel()
		ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
		defer stop()
		l, err := net.Listen("tcp", *listen)
		if err != nil {
			p.complain("cannot listen at %s: %v", *listen, err)
			return exitError(exitFailed)
		}
		o := dashboard.Options{Client: to, Address: l.Addr().String(), Hosts: append(*hosts, *listen), Actions: *actions}
		url := "http://" + o.Address + "/"
		if *actions || !dashboard.Loopback(o.Address) {
			o.Token = rand.Text()
			url += "?token=" + o.Token
		}
		fmt.Fprintln(p.stdout, "dashboard: "+url)
		server := &http.Server{Handler: dashboard.Handler(o), ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, MaxHeaderBytes: 16 << 10}
		go func() {
			<-ctx.Done()
			_ = server.Close() // streams have no end of their own
		}()
		if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			p.complain("%v", err)
			return exitError(exitFailed)
		}
		return nil
	}
	return cmd
}
