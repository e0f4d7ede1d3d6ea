package agent

import (
	"context"
	"flag"

	"github.com/steppe-project/steppe/agent"
	"github.com/steppe-project/steppe/agent/config"
	"github.com/steppe-project/steppe/command/base"
)

// Recover is "operator raft recover".
var Recover = &base.Command{
	Name: "operator raft recover", Synopsis: "Go on with one surviving server after the majority was lost for good", Offline: true,
	Long: `When so many servers are lost for good that the others cannot elect a leader, stop the agent of one that survived and run this on its machine, with the configuration its agent is started with. It becomes the only server of the cluster, with all that it has. Start its agent, then start new servers that join it.

Of several survivors take the one with the highest index: without -yes nothing is changed, and the index is printed. What only the lost servers had is lost, and so is what another survivor has beyond that index.

The other servers must not come back with their data: empty their data directories before they are started again, those of survivors, too. Clients need nothing; their tasks go on.`,
	Example: "steppe operator raft recover -config /etc/steppe.d\nsteppe operator raft recover -config /etc/steppe.d -yes",
	New:     func() base.Runner { return &recovery{} },
}

type recovery struct {
	run
	yes bool
}

func (r *recovery) Flags(fs *flag.FlagSet) {
	fs.Var(&r.configs, "config", "A `file or directory` with the agent's configuration; may be given many times.")
	fs.StringVar(&r.dataDir, "data-dir", "", "The `directory` that holds the agent's state, if the configuration does not say.")
	fs.StringVar(&r.bind, "bind", "", "The IP `address` of the agent's listeners, if the configuration does not say.")
	fs.BoolVar(&r.yes, "yes", false, "Do it. Without, it is only told what would be done.")
}

func (r *recovery) Run(_ context.Context, o *base.IO, _ []string) error {
	cfg := config.Default()
	cfg.Server.Enabled = len(r.configs) == 0
	if err := config.Load(r.configs, cfg); err != nil {
		return err
	}
	if err := r.apply(cfg); err != nil {
		return err
	}
	if _, err := cfg.Validate(); err != nil {
		return &base.Exit{Code: base.ExitError, Text: "The configuration has faults:\n" + err.Error()}
	}
	cfg.LogLevel = "ERROR" // what is done is told here
	logs, err := agent.NewLogs(cfg, o.Err)
	if err != nil {
		return err
	}
	was, id, addr, err := agent.Recover(cfg, logs, r.yes)
	if err != nil {
		return err
	}
	var rows [][]string
	for _, s := range was.Servers {
		fate := "lost"
		if s.ID == id {
			fate = "the only one from now on, at " + addr
		}
		rows = append(rows, []string{s.ID, s.Addr, base.YesNo(s.Voter), fate})
	}
	o.Table([]string{"ID", "Address", "Voter", ""}, rows)
	o.Print("\nThis server has everything up to index %d (term %d).", was.Index, was.Term)
	if !was.Voter {
		o.Say("It had no vote and may be behind: prefer a survivor that had one.")
	}
	if !r.yes {
		o.Say("Nothing was changed. With -yes this server becomes the only one; no other may come back with its data.")
		return nil
	}
	o.Say("This server is the only one of its cluster now. Start its agent, then new servers that join it.")
	return nil
}
