// Package agent holds the verb that runs an agent: the one command that is not a
// client of the HTTP API.
package agent

import (
	"context"
	"flag"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/steppe-project/steppe/agent"
	"github.com/steppe-project/steppe/agent/config"
	"github.com/steppe-project/steppe/command/base"
	"github.com/steppe-project/steppe/internal/version"
	"github.com/steppe-project/steppe/model"
)

// Agent is "agent".
var Agent = &base.Command{
	Name: "agent", Synopsis: "Run an agent: a server, a client, or both", Offline: true,
	Long: `With -dev: both roles on loopback, nothing kept, everything stopped at the end. Else the configuration says what the agent is; -config may be given many times, files and directories (their *.hcl and *.json), later ones lie over earlier ones, other options over all.

SIGINT and SIGTERM end the agent: tasks of a client go on and are taken over by the next start. SIGHUP has it read its certificates anew.`,
	Example: "steppe agent -dev\nsteppe agent -config /etc/steppe.d",
	New:     func() base.Runner { return &run{} },
}

type run struct {
	dev, server, client                    bool
	configs, join, joinWAN, servers, meta  base.Strings
	dataDir, bind, region, dc, name, level string
	encrypt, pool, class                   string
	expect                                 int
	json                                   bool
}

func (r *run) Flags(fs *flag.FlagSet) {
	fs.BoolVar(&r.dev, "dev", false, "Server and client on loopback, nothing kept.")
	fs.Var(&r.configs, "config", "A `file or directory` with configuration, HCL or JSON; may be given many times.")
	fs.BoolVar(&r.server, "server", false, "Enable the server role.")
	fs.BoolVar(&r.client, "client", false, "Enable the client role.")
	fs.IntVar(&r.expect, "bootstrap-expect", 0, "How many servers found a new cluster together.")
	fs.StringVar(&r.dataDir, "data-dir", "", "The `directory` that holds all state.")
	fs.StringVar(&r.bind, "bind", "", "The IP `address` of all listeners.")
	fs.StringVar(&r.region, "region", "", "The region's `name`.")
	fs.StringVar(&r.dc, "dc", "", "The datacenter's `name`.")
	fs.StringVar(&r.name, "node", "", "The agent's `name`. Default: the host's.")
	fs.StringVar(&r.pool, "node-pool", "", "The client's node `pool`.")
	fs.StringVar(&r.class, "node-class", "", "The client's `class`.")
	fs.Var(&r.meta, "meta", "An entry `key=value` of the client's metadata; may be given many times.")
	fs.Var(&r.join, "retry-join", "The `address` of any agent, to join until it answers; may be given many times.")
	fs.Var(&r.joinWAN, "retry-join-wan", "The WAN `address` of a server of another region, to federate with until it answers; may be given many times.")
	fs.Var(&r.servers, "servers", "The `address` of any agent, for a client; may be given many times, or with commas.")
	fs.StringVar(&r.encrypt, "encrypt", "", "The region's `key` in base64.")
	fs.StringVar(&r.level, "log-level", "", "The `level` of the log: trace, debug, info, warn, error.")
	fs.BoolVar(&r.json, "log-json", false, "Write the log as JSON lines.")
}

func (r *run) Run(ctx context.Context, o *base.IO, args []string) error {
	cfg := config.Default()
	if r.dev {
		dir, err := os.MkdirTemp("", "steppe-dev-")
		if err != nil {
			return err
		}
		defer os.RemoveAll(dir)
		cfg.SetDev(dir)
	}
	if err := config.Load(r.configs, cfg); err != nil {
		return err
	}
	if err := r.apply(cfg); err != nil {
		return err
	}
	warnings, err := cfg.Validate()
	if err != nil {
		return &base.Exit{Code: base.ExitError, Text: "The configuration has faults:\n" + err.Error()}
	}
	out, closeLog, err := logOutput(cfg, o.Err)
	if err != nil {
		return err
	}
	defer closeLog()
	logs, err := agent.NewLogs(cfg, out)
	if err != nil {
		return err
	}
	for _, w := range warnings {
		logs.Logger().Warn(w)
	}
	a, err := agent.New(cfg, logs)
	if err != nil {
		return err
	}
	o.Say("Steppe v%s agent: region %s, datacenter %s, roles %s", version.Number, cfg.Region, cfg.Datacenter, roles(cfg))
	return untilSignal(ctx, a, cfg, logs)
}

// untilSignal runs the agent until SIGINT or SIGTERM, which ends it, or has it
// leave for good where the configuration says so. A second one does not wait.
func untilSignal(ctx context.Context, a *agent.Agent, cfg *config.Config, logs *agent.Logs) error {
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer signal.Stop(signals)
	if ctx.Err() != nil { // it came while the agent was being made, and nothing runs yet
		logs.Logger().Info("signal received before the start was over")
		return nil
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	for {
		select {
		case err := <-done:
			return err
		case s := <-signals:
			if s == syscall.SIGHUP {
				_ = a.Reload() // it says so itself
				continue
			}
			leave := s == os.Interrupt && cfg.LeaveOnInterrupt || s == syscall.SIGTERM && cfg.LeaveOnTerminate
			logs.Logger().Info("signal received", "signal", s.String(), "leave", leave)
			if leave && a.Leave(ctx) == nil {
				continue
			}
			cancel()
		}
	}
}

func roles(cfg *config.Config) string {
	var out []string
	if cfg.Server.Enabled {
		out = append(out, "server")
	}
	if cfg.Client.Enabled {
		out = append(out, "client")
	}
	return strings.Join(out, " and ")
}

func (r *run) apply(cfg *config.Config) error {
	for text, into := range map[*string]*string{
		&r.dataDir: &cfg.DataDir, &r.bind: &cfg.BindAddr, &r.region: &cfg.Region, &r.dc: &cfg.Datacenter, &r.name: &cfg.Name,
		&r.level: &cfg.LogLevel, &r.encrypt: &cfg.Encrypt, &r.pool: &cfg.Client.NodePool, &r.class: &cfg.Client.NodeClass,
	} {
		if *text != "" {
			*into = *text
		}
	}
	cfg.Server.Enabled = cfg.Server.Enabled || r.server
	cfg.Client.Enabled = cfg.Client.Enabled || r.client
	cfg.LogJSON = cfg.LogJSON || r.json
	if r.expect != 0 {
		cfg.Server.BootstrapExpect = r.expect
	}
	cfg.Server.RetryJoin = append(cfg.Server.RetryJoin, r.join...)
	cfg.Server.RetryJoinWAN = append(cfg.Server.RetryJoinWAN, r.joinWAN...)
	for _, s := range r.servers {
		cfg.Client.Servers = append(cfg.Client.Servers, strings.Split(s, ",")...)
	}
	for _, m := range r.meta {
		k, v, ok := strings.Cut(m, "=")
		if !ok {
			return model.Errorf(model.CodeInvalid, "-meta %q is not key=value", m)
		}
		cfg.Client.MetaMap[k] = v
	}
	return nil
}

func logOutput(cfg *config.Config, stderr io.Writer) (io.Writer, func(), error) {
	if cfg.LogFile == "" {
		return stderr, func() {}, nil
	}
	f, err := os.OpenFile(cfg.LogFile, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o640)
	if err != nil {
		return nil, nil, model.Errorf(model.CodeInvalid, "log_file: %w", err)
	}
	return io.MultiWriter(stderr, f), func() { _ = f.Close() }, nil
}
