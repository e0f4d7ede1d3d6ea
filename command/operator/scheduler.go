package operator

import (
	"context"
	"flag"
	"fmt"
	"strconv"
	"strings"

	"github.com/steppe-project/steppe/command/base"
	"github.com/steppe-project/steppe/model"
)

// SchedulerGet is "operator scheduler get-config".
var SchedulerGet = &base.Command{
	Name: "operator scheduler get-config", Synopsis: "Show the scheduler configuration",
	Long:    "It is the same for the whole region.",
	Example: "steppe operator scheduler get-config",
	New:     func() base.Runner { return &schedulerGet{} },
}

type schedulerGet struct{ base.DataOptions }

func (s *schedulerGet) Flags(fs *flag.FlagSet) { s.DataFlags(fs) }

func (s *schedulerGet) Run(ctx context.Context, o *base.IO, _ []string) error {
	c, _, err := o.Client.Cluster().SchedulerConfig(ctx)
	if err != nil {
		return err
	}
	if done, err := o.Data(s.DataOptions, c); done {
		return err
	}
	o.Fields(
		"Scheduler Algorithm", c.SchedulerAlgorithm, "Memory Oversubscription", base.YesNo(c.MemoryOversubscriptionEnabled),
		"Preemption", preempting(c.PreemptionConfig),
		"Reject Job Registration", base.YesNo(c.RejectJobRegistration), "Pause Eval Broker", base.YesNo(c.PauseEvalBroker),
		"Mass Loss Threshold", share(c.MassLoss.Threshold), "Mass Loss Nodes", orDefault(c.MassLoss.MinNodes), "Mass Loss Rate", orDefault(c.MassLoss.Rate),
		"Modify Index", fmt.Sprint(c.ModifyIndex),
	)
	return nil
}

// preempting lists the types of jobs that may have others give way.
func preempting(p model.PreemptionConfig) string {
	var out []string
	for _, t := range []struct {
		name string
		on   bool
	}{
		{model.JobTypeService, p.ServiceSchedulerEnabled}, {model.JobTypeBatch, p.BatchSchedulerEnabled},
		{model.JobTypeSystem, p.SystemSchedulerEnabled}, {model.JobTypeSysbatch, p.SysBatchSchedulerEnabled},
	} {
		if t.on {
			out = append(out, t.name)
		}
	}
	if len(out) == 0 {
		return "none"
	}
	return strings.Join(out, ", ")
}

func share(v float64) string {
	if v == 0 {
		return "default"
	}
	return fmt.Sprintf("%g", v)
}

func orDefault(v int) string { return share(float64(v)) }

// SchedulerSet is "operator scheduler set-config".
var SchedulerSet = &base.Command{
	Name: "operator scheduler set-config", Synopsis: "Change the scheduler configuration",
	Long:    "Only what is given is changed.",
	Example: "steppe operator scheduler set-config -scheduler-algorithm spread -memory-oversubscription true",
	New:     func() base.Runner { return &schedulerSet{} },
}

type schedulerSet struct {
	algorithm, checkIndex            string
	threshold                        float64
	nodes, rate                      int
	oversubscription, reject, pause  *bool
	service, batch, system, sysbatch *bool
}

func (s *schedulerSet) Flags(fs *flag.FlagSet) {
	fs.StringVar(&s.algorithm, "scheduler-algorithm", "", "Where instances go first: `binpack or spread`.")
	choice(fs, &s.oversubscription, "memory-oversubscription", "whether memory_max counts.")
	choice(fs, &s.service, "preempt-service-scheduler", "whether service jobs may have instances of lower priority give way.")
	choice(fs, &s.batch, "preempt-batch-scheduler", "whether batch jobs may.")
	choice(fs, &s.system, "preempt-system-scheduler", "whether system jobs may.")
	choice(fs, &s.sysbatch, "preempt-sysbatch-scheduler", "whether sysbatch jobs may.")
	choice(fs, &s.reject, "reject-job-registration", "whether new jobs are refused.")
	choice(fs, &s.pause, "pause-eval-broker", "whether scheduling stands still.")
	fs.Float64Var(&s.threshold, "mass-loss-threshold", 0, "The `share` of the nodes, up to 1, that puts the brake on when it vanishes together.")
	fs.IntVar(&s.nodes, "mass-loss-nodes", 0, "The `number` of nodes that does so at least.")
	fs.IntVar(&s.rate, "mass-loss-rate", 0, "The `number` of nodes that are given up a minute while the brake is on; -1 for none.")
	fs.StringVar(&s.checkIndex, "check-index", "", "Change only if the configuration's modify `index` is still this.")
}

func (s *schedulerSet) Run(ctx context.Context, o *base.IO, _ []string) error {
	c, _, err := o.Client.Cluster().SchedulerConfig(ctx)
	if err != nil {
		return err
	}
	index := c.ModifyIndex
	if s.checkIndex != "" {
		if index, err = strconv.ParseUint(s.checkIndex, 10, 64); err != nil {
			return model.Errorf(model.CodeInvalid, "-check-index %q is not an index: a number, 0 or more", s.checkIndex)
		}
	}
	if s.algorithm != "" {
		c.SchedulerAlgorithm = s.algorithm
	}
	if s.threshold != 0 {
		c.MassLoss.Threshold = s.threshold
	}
	if s.nodes != 0 {
		c.MassLoss.MinNodes = s.nodes
	}
	if s.rate != 0 {
		c.MassLoss.Rate = s.rate
	}
	assign(&c.MemoryOversubscriptionEnabled, s.oversubscription)
	assign(&c.PreemptionConfig.ServiceSchedulerEnabled, s.service)
	assign(&c.PreemptionConfig.BatchSchedulerEnabled, s.batch)
	assign(&c.PreemptionConfig.SystemSchedulerEnabled, s.system)
	assign(&c.PreemptionConfig.SysBatchSchedulerEnabled, s.sysbatch)
	assign(&c.RejectJobRegistration, s.reject)
	assign(&c.PauseEvalBroker, s.pause)
	updated, err := o.Client.Cluster().SetSchedulerConfig(ctx, c, &index)
	if err != nil {
		return err
	}
	if !updated {
		return errChanged()
	}
	o.Say("Scheduler configuration updated")
	return nil
}
