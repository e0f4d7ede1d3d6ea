// Package jobdiff tells field by field in what two versions of a job differ, in the
// shape that clients of the API know. It is part of the model: pure data and rules.
//
//	Job ── TaskGroup ── Task       what the fields of each say: Fields
//	  └──────┴───────────┴───────  the blocks in each: Objects, which may have blocks in turn
//
// Contract and invariants:
//
//   - What only servers set (status, version, indexes, times) does not count.
//   - Blocks with a label, and groups and tasks by their names, are compared with
//     the one of the same label; of others, equal ones are paired and the rest is
//     deleted and added.
//   - Equal inputs give equal outputs: everything is sorted by name.
//   - With context, what did not change of a block that did is there as None.
//
// Example:
//
//	d := jobdiff.Of(old, job, true)
//	if d.Type == jobdiff.None { ... }
package jobdiff

import (
	"cmp"
	"slices"
	"strings"

	"github.com/steppe-project/steppe/model"
)

//go:generate go tool msgp -file jobdiff.go -o codec_gen.go -tests=false -io=false

// Types of a difference.
const (
	None    = "None"
	Added   = "Added"
	Deleted = "Deleted"
	Edited  = "Edited"
)

// Job is how two versions of a job differ.
type Job struct {
	Type       string
	ID         string
	Fields     []*Field
	Objects    []*Object
	TaskGroups []*TaskGroup
}

// TaskGroup is how a group differs. Updates counts by kind what is done to its
// instances, where that is known.
type TaskGroup struct {
	Type    string
	Name    string
	Fields  []*Field
	Objects []*Object
	Tasks   []*Task
	Updates map[string]uint64
}

// Task is how a task differs. Annotations say what that means for its instances.
type Task struct {
	Type        string
	Name        string
	Fields      []*Field
	Objects     []*Object
	Annotations []string
}

// Object is how a block differs.
type Object struct {
	Type    string
	Name    string
	Fields  []*Field
	Objects []*Object
}

// Field is one value, as text; durations as in job files.
type Field struct {
	Type        string
	Name        string
	Old         string
	New         string
	Annotations []string
}

// Of compares two versions of a job; nil is one that does not exist.
func Of(before, after *model.Job, context bool) *Job {
	w := walker{context}
	d := &Job{}
	for _, j := range []*model.Job{before, after} {
		if j != nil {
			d.ID = j.ID
		}
	}
	d.Fields, d.Objects = w.blocks(valueOf(before), valueOf(after))
	for _, p := range pair(groups(before), groups(after), func(g *model.TaskGroup) string { return g.Name }) {
		d.TaskGroups = append(d.TaskGroups, w.group(p.name, p.before, p.after))
	}
	changed := slices.ContainsFunc(d.TaskGroups, func(g *TaskGroup) bool { return g.Type != None })
	d.Type = kind(before != nil, after != nil, changed || differ(d.Fields, d.Objects))
	d.TaskGroups = keep(d.TaskGroups, func(g *TaskGroup) bool { return context || g.Type != None })
	return d
}

func groups(j *model.Job) []*model.TaskGroup {
	if j == nil {
		return nil
	}
	return j.TaskGroups
}

func tasks(g *model.TaskGroup) []*model.Task {
	if g == nil {
		return nil
	}
	return g.Tasks
}

func (w walker) group(name string, before, after *model.TaskGroup) *TaskGroup {
	d := &TaskGroup{Name: name}
	d.Fields, d.Objects = w.blocks(valueOf(before), valueOf(after))
	for _, p := range pair(tasks(before), tasks(after), func(t *model.Task) string { return t.Name }) {
		d.Tasks = append(d.Tasks, w.task(p.name, p.before, p.after))
	}
	changed := slices.ContainsFunc(d.Tasks, func(t *Task) bool { return t.Type != None })
	d.Type = kind(before != nil, after != nil, changed || differ(d.Fields, d.Objects))
	d.Tasks = keep(d.Tasks, func(t *Task) bool { return w.context || t.Type != None })
	return d
}

func (w walker) task(name string, before, after *model.Task) *Task {
	d := &Task{Name: name}
	d.Fields, d.Objects = w.blocks(valueOf(before), valueOf(after))
	d.Type = kind(before != nil, after != nil, differ(d.Fields, d.Objects))
	return d
}

// kind is the type of a difference.
func kind(before, after, changed bool) string {
	switch {
	case before && !after:
		return Deleted
	case after && !before:
		return Added
	case changed:
		return Edited
	}
	return None
}

func differ(fields []*Field, objects []*Object) bool {
	return slices.ContainsFunc(fields, func(f *Field) bool { return f.Type != None }) ||
		slices.ContainsFunc(objects, func(o *Object) bool { return o.Type != None })
}

func keep[T any](list []T, wanted func(T) bool) []T {
	return slices.DeleteFunc(list, func(t T) bool { return !wanted(t) })
}

// pairOf is what has one name before and after; nil where there is none.
type pairOf[T any] struct {
	name          string
	before, after *T
}

// pair brings together what has the same name, sorted by it.
func pair[T any](before, after []*T, name func(*T) string) []pairOf[T] {
	byName := make(map[string]*pairOf[T])
	at := func(n string) *pairOf[T] {
		if byName[n] == nil {
			byName[n] = &pairOf[T]{name: n}
		}
		return byName[n]
	}
	for _, t := range before {
		at(name(t)).before = t
	}
	for _, t := range after {
		at(name(t)).after = t
	}
	out := make([]pairOf[T], 0, len(byName))
	for _, p := range byName {
		out = append(out, *p)
	}
	slices.SortFunc(out, func(a, b pairOf[T]) int { return strings.Compare(a.name, b.name) })
	return out
}

// order sorts fields and objects as they are shown.
func order(fields []*Field, objects []*Object) {
	slices.SortFunc(fields, func(a, b *Field) int {
		return cmp.Or(strings.Compare(a.Name, b.Name), strings.Compare(a.Old, b.Old), strings.Compare(a.New, b.New))
	})
	slices.SortStableFunc(objects, func(a, b *Object) int {
		return cmp.Or(strings.Compare(a.Name, b.Name), rank(a.Type)-rank(b.Type))
	})
}

// rank has what is deleted stand before what is added in its place.
func rank(kind string) int { return slices.Index([]string{None, Edited, Deleted, Added}, kind) }
