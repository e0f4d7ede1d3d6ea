// Package feature numbers what the servers of a cluster can do together. It is
// part of the model: pure data and rules.
//
// A server of a newer version understands more than the others do. What is new in
// the log or in the state is not written before all servers understand it: the
// cluster's level, which is in the state, says how far they have agreed to go. So
// replacing the binaries and using what is new are two steps, and until the second
// one the older binary can be put back.
//
// Invariants: numbers are never reused; a level contains all below it; the level of
// a state never goes back but with a snapshot that is restored as a whole.
package feature

import (
	"fmt"
	"slices"
	"strings"
)

//go:generate go tool msgp -file feature.go -o codec_gen.go -tests=false -io=false

//msgp:ignore Description Server

// Level is how much is understood, or agreed upon.
type Level int

// The levels. A new one gets a constant, a Description, and its commands an
// entry in the fsm's table.
const (
	// Base is what servers did before there were levels: a server that says
	// nothing understands it, and a state that says nothing is of it.
	Base Level = 1
	// Seats lets the level itself be in the state, and autopilot's settings for
	// redundancy zones and custom upgrade versions be turned on: older servers
	// would promote every standby when they lead.
	Seats Level = 2
	// Order keeps with an allocation how new the newest report on it was, so that
	// an older one that arrives late changes nothing.
	Order Level = 3
	// Launches lets jobs be periodic and parameterized: older servers know neither the
	// commands that launch them nor the table that says how far a schedule has come.
	Launches Level = 4
	// Drains lets nodes be drained: older servers do not know the command, and move
	// nothing when they lead.
	Drains Level = 5
	// Deployments makes updates of services deployments: older servers do not know the
	// commands, and end none when they lead.
	Deployments Level = 6
	// Tenancy lets namespaces have rules and quotas: older servers do not keep them, and
	// admit what they refuse.
	Tenancy Level = 7
	// Preemption lets instances of jobs of lower priority be told to give way: older
	// servers would stop them without what is to take their place.
	Preemption Level = 8
	// Yields has a placement refused that counts on room which others of its plan do
	// not get: older servers would keep it.
	Yields Level = 9
	// Dependencies lets groups depend on others: older servers would not know the block,
	// and start all at once.
	Dependencies Level = 10
	// Stateful lets groups be stateful: older servers would start an instance beside the
	// one that it replaces.
	Stateful Level = 11
	// Gangs lets groups be gangs, and work be bounded in time: older servers would place a
	// part of a gang, and start again what was ended for want of time.
	Gangs Level = 12
	// Again has decided again what a plan did not bring: it is refused as a whole when its
	// evaluation was changed after it was handed out, since what is decided then may not
	// know of it; and an evaluation of whose plan something was refused does not wait on
	// for the rest alone. A plan of a version of which a group was not stateful places none
	// of its names twice, once the newest version has it stateful.
	Again Level = 13
	// Devices lets tasks ask for devices of nodes: older servers would place them without.
	Devices Level = 14
)

// Newest is the level that this binary understands, and all below it.
const Newest = Devices

// Description says what a level brings.
type Description struct {
	Level Level
	Name  string
	Text  string
}

// All describes the levels, lowest first.
func All() []Description {
	return []Description{
		{Base, "base", "What servers did before feature levels existed."},
		{Seats, "seats", "The feature level is kept in the state, and the autopilot settings EnableRedundancyZones and EnableCustomUpgrades can be turned on."},
		{Order, "order", "The order of the nodes' reports is kept: one that arrives late or twice changes nothing."},
		{Launches, "launches", "Periodic and parameterized jobs are launched."},
		{Drains, "drains", "Nodes are drained."},
		{Deployments, "deployments", "Updates of services are deployments, gated by health, with canaries and the way back."},
		{Tenancy, "tenancy", "Namespaces, node pools and quotas are changed, and bound what jobs may ask for."},
		{Preemption, "preemption", "Instances of jobs of lower priority give way to others, where the scheduler configuration says so."},
		{Yields, "yields", "Where something cannot give way any more, nothing else of the same plan is placed into its room."},
		{Dependencies, "dependencies", "Groups wait for what they depend on, of their job and of others."},
		{Stateful, "stateful", "Groups are stateful: each ordinal is there once at most, started, stopped and updated in order."},
		{Gangs, "gangs", "Groups of which all instances or none run, and max_run_duration of batch work."},
		{Again, "again", "What a plan does not bring is decided again: when part of it is refused and the rest has to wait, as a whole when its evaluation was handed out again, and where a name of a group that is stateful by now is held."},
		{Devices, "devices", "Tasks ask for devices of nodes, such as GPUs."},
	}
}

// Active is the row of the state that says the cluster's level; a cluster of Base
// has none.
type Active struct {
	Level       Level
	ActivatedAt int64 // unix ns
	CreateIndex uint64
	ModifyIndex uint64
}

// Server is one that must understand what is activated.
type Server struct {
	ID   string
	Name string
	// Understands is the newest level it told of; 0 when it is not known at all.
	Understands Level
	// Status is what gossip says of its life: alive, failed, left, or unknown.
	Status string
	// Member is true when it is in the raft configuration.
	Member bool
	// Holds is true when its operator wants levels to be activated by hand.
	Holds bool
}

// counts tells whether what s understands matters: it has the log, or may come
// back for it.
func (s Server) counts() bool { return s.Member || s.Status == "alive" || s.Status == "failed" }

// Common is the newest level that all servers that count understand, at least now,
// and in words which of them understand less than newest.
func Common(now, newest Level, servers []Server) (level Level, lacking []string) {
	level = newest
	for _, s := range servers {
		if !s.counts() || s.Understands >= newest {
			continue
		}
		level = min(level, s.Understands)
		lacking = append(lacking, s.lack(newest))
	}
	slices.Sort(lacking)
	return max(level, now), lacking
}

func (s Server) lack(newest Level) string {
	name := s.Name
	if name == "" {
		name = s.ID
	}
	if s.Understands == 0 {
		return fmt.Sprintf("%s is not seen by gossip, so what it understands is not known", name)
	}
	text := fmt.Sprintf("%s understands level %d, not %d", name, s.Understands, newest)
	if s.Status != "alive" {
		text += " (" + s.Status + ")"
	}
	return text
}

// Held are the names of the living servers whose operators want levels to be
// activated by hand.
func Held(servers []Server) []string {
	var out []string
	for _, s := range servers {
		if s.Holds && s.Status == "alive" {
			out = append(out, s.Name)
		}
	}
	slices.Sort(out)
	return out
}

// Check is why level cannot be activated now, nil if it can.
func Check(level, now, newest Level, servers []Server) error {
	switch {
	case level <= now:
		return fmt.Errorf("the cluster is at feature level %d: levels are never taken back", now)
	case level > newest:
		return fmt.Errorf("feature level %d is not known to the leader's binary, which understands up to %d", level, newest)
	}
	if common, lacking := Common(now, level, servers); common < level {
		return fmt.Errorf("feature level %d cannot be activated: %s; upgrade these servers, or remove them if they are gone for good", level, strings.Join(lacking, ", "))
	}
	return nil
}
