// Package cgroup places tasks in control groups of version 1 or 2, reads what
// they use, and finds tasks again by their groups' names.
//
// Contract: a Tree is what this machine offers; a Scope is the place of one
// task in it, named after its allocation and task as existing drivers and the
// agent name them:
//
//	v1  <mount>/<controller>/nomad/<alloc>.<task>
//	v2  <mount>/nomad.slice/{share,reserve}.slice/<alloc>.<task>.scope
//
// Invariants: a Scope's name gives back allocation and task (List), so that a
// task without any other record can be found and ended; removing a scope never
// touches a living process.
//
//	tree := cgroup.Detect()
//	scope := tree.Scope(allocID, "web", false)
//	err := scope.Create()
//	// the task writes itself into scope.JoinFiles()
package cgroup
