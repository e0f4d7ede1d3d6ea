//go:build !steppe_faults

package agent

import "time"

// wallClock is the machine's clock. Binaries built for tests of faults have
// another one (clock_faults.go).
func wallClock() func() time.Time { return time.Now }
