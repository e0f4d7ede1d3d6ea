//go:build steppe_faults

package agent

import (
	"os"
	"strings"
	"time"
)

// clockFile names a file with a duration: the wall clock of the server role is so
// much ahead (or behind, when negative). Only binaries built with the tag
// steppe_faults read it; releases are built without.
const clockFile = "STEPPE_FAULTS_CLOCK"

// wallClock is the machine's clock, set by the file of a test: on one machine, the
// clock of one process cannot be set in another way.
func wallClock() func() time.Time {
	path := os.Getenv(clockFile)
	if path == "" {
		return time.Now
	}
	return func() time.Time {
		b, err := os.ReadFile(path)
		if err != nil {
			return time.Now() // nothing is set yet
		}
		offset, err := time.ParseDuration(strings.TrimSpace(string(b)))
		if err != nil {
			return time.Now()
		}
		return time.Now().Add(offset)
	}
}
