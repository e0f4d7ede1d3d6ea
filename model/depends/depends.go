// Package depends is the block in which a group says what it comes after. It is part of
// the model: pure data. What follows from it is in model/precedence (which jobs may be
// registered) and sched/readiness (which groups wait).
//
// Example:
//
//	d := &depends.Dependency{Name: "db", Condition: depends.Healthy}
package depends

import "cmp"

//go:generate go tool msgp -file depends.go -o codec_gen.go -tests=false -io=false

// Conditions of a dependency.
const (
	// Started: as many instances as the group's count run or, of a batch job, have run.
	Started = "started"
	// Healthy: as many do well. It is what a dependency that says nothing asks for.
	Healthy = "healthy"
	// Completed: all instances of a batch job have done their work.
	Completed = "completed"
)

// Conditions are all of them.
func Conditions() []string { return []string{Started, Healthy, Completed} }

// Dependency is something that has to be there before the instances of a group are
// started for the first time: a group of the same job, or groups of another one.
type Dependency struct {
	Name      string // the block's label: a group of the same job; with Job a name for people
	Job       string // "": the same
	Namespace string // of Job; "": that of the job it is written in
	Group     string // of Job; "": all of its groups
	Condition string // "": Healthy
}

// Asks is the condition, the default written out.
func (d *Dependency) Asks() string { return cmp.Or(d.Condition, Healthy) }
