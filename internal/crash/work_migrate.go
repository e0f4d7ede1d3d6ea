package crash

import (
	"errors"

	"github.com/steppe-project/steppe/internal/oldlog"
)

// Migrate is a lone server that starts on the log of an earlier version, with a
// snapshot and without, and goes on from there. Making that log is under the same
// faults.
var Migrate = &Work{Name: "migrate", Run: runMigrate, Look: lookServer, Judge: judgeServer}

func runMigrate(dir string, say func(string, ...any)) error {
	d, raft, s, err := openServer(dir, say)
	if err != nil {
		return err
	}
	for _, archives := range []bool{false, true} {
		for range 4 {
			s.put(1, 900)
		}
		if archives {
			s.archive()
			s.put(1, 200)
		}
		next := s.next
		if err := errors.Join(s.stop(), oldlog.TurnBack(raft)); err != nil {
			return err
		}
		if s, err = startServer(raft, say); err != nil {
			return err
		}
		s.next = next
		s.put(1, 200)
	}
	return errors.Join(s.stop(), d.Close())
}
