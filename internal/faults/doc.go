// Package faults runs real agents as real processes and does to them what
// happens to machines: kill -9, cut cables, full disks, broken input.
//
// Contract: a Site holds the agents of one test. Its agents stand on loopback
// addresses of their own, or, when root, each in a network namespace of its own
// behind a bridge in a further one, so that nothing of the machine's network is
// touched and sites never meet. All waiting is polling with a generous deadline.
//
// Invariants:
//   - whatever a test does, at its end no process, mount, namespace, control
//     group or file of the site is left;
//   - only processes of the site are ever signalled: those started from its own
//     link to the binary, and tasks that carry its mark in their environment.
//
// Example:
//
//	func TestMain(m *testing.M) { os.Exit(faults.Main(m)) }
//
//	site := faults.NewSite(t, faults.Namespaces)
//	s := site.Agent("s1", "server { ... }")
//	s.Start()
//	s.Signal(syscall.SIGKILL)
package faults
