package agent

import (
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/steppe-project/steppe/fsm"
	"github.com/steppe-project/steppe/fsm/state"
	"github.com/steppe-project/steppe/model"
)

func TestJobFiguresAreDerivedOnTheLeader(t *testing.T) {
	store := state.New()
	job := model.NewJob(model.JobTypeService)
	job.ID, job.Name = "web", "web"
	group := model.NewTaskGroup(job)
	group.Name = "g"
	job.TaskGroups = append(job.TaskGroups, group)
	job.Canonicalize()
	cmd, err := fsm.NewCommand(&fsm.RegisterJob{Job: job})
	if err != nil {
		t.Fatal(err)
	}
	if out := fsm.New(store).Apply(fsm.Entry{Index: 1, Term: 1, Time: 1, Commands: []fsm.Command{cmd}})[0]; out.Err != nil {
		t.Fatal(out.Err)
	}
	leading := false
	c := newJobCollector(store, func() bool { return leading })
	if n := testutil.CollectAndCount(c); n != 0 {
		t.Fatalf("a follower gives %d figures", n)
	}
	leading = true
	want := `
# HELP nomad_nomad_job_status_pending Jobs that are pending.
# TYPE nomad_nomad_job_status_pending gauge
nomad_nomad_job_status_pending 1
# HELP nomad_nomad_job_summary_running Allocations of a group that are running.
# TYPE nomad_nomad_job_summary_running gauge
nomad_nomad_job_summary_running{job="web",namespace="default",task_group="g"} 0
`
	if err := testutil.CollectAndCompare(c, strings.NewReader(want), "nomad_nomad_job_status_pending", "nomad_nomad_job_summary_running"); err != nil {
		t.Fatal(err)
	}
}
