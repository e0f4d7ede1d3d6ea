package suite

import (
	"fmt"
	"strings"
	"time"
)

// Program is what a case wants a task, or an exec into one, to do. Drivers that
// run commands use Shell; others express the fields in their own way.
//
// In order: it writes Stdout and Stderr, copies its input to its output if Cat
// is set, goes on for RunFor, and exits with ExitCode.
type Program struct {
	// Name says it in a word.
	Name string
	// Missing: the program does not exist, so that its start must fail.
	Missing bool
	// Stdout and Stderr are written at once.
	Stdout, Stderr string
	// Greet writes the variable GREETING of the task's environment.
	Greet bool
	// Cat copies stdin to stdout until its end.
	Cat bool
	// Terminal writes "terminal" if stdin is one, else "no terminal".
	Terminal bool
	// RunFor is how long it goes on.
	RunFor time.Duration
	// ExitCode of its own end.
	ExitCode int
	// OnSignal maps signals ("TERM", "USR1") to exit codes, or to Ignore.
	OnSignal map[string]int
	// Child leaves a child in the background that writes "tick" all the time.
	Child bool
}

// Ignore in Program.OnSignal: the program goes on.
const Ignore = -1

// forever is longer than any case waits.
const forever = 10 * time.Minute

// Shell is the program as a POSIX shell script.
func (p Program) Shell() string {
	var s strings.Builder
	for signal, code := range p.OnSignal {
		if code == Ignore {
			fmt.Fprintf(&s, "trap '' %s\n", signal)
			continue
		}
		fmt.Fprintf(&s, "trap 'kill $nap 2>/dev/null; exit %d' %s\n", code, signal)
	}
	if p.Child {
		s.WriteString("(while :; do echo tick; sleep 0.05; done) &\n")
	}
	if p.Stdout != "" {
		fmt.Fprintf(&s, "printf %%s %s\n", quote(p.Stdout))
	}
	if p.Stderr != "" {
		fmt.Fprintf(&s, "printf %%s %s >&2\n", quote(p.Stderr))
	}
	if p.Greet {
		s.WriteString("printf %s \"$GREETING\"\n")
	}
	if p.Terminal {
		s.WriteString("if [ -t 0 ]; then echo terminal; else echo no terminal; fi\n")
	}
	if p.Cat {
		s.WriteString("cat\n")
	}
	if p.RunFor > 0 {
		// In the background, so that a trap acts at once.
		fmt.Fprintf(&s, "sleep %.3f & nap=$!\nwait $nap\n", p.RunFor.Seconds())
	}
	fmt.Fprintf(&s, "exit %d\n", p.ExitCode)
	return s.String()
}

// quote makes text one word of a shell script.
func quote(text string) string { return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'" }
