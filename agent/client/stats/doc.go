// Package stats measures, only when asked, what the machine and its tasks use.
//
// Contract and invariants:
//
//   - Nothing is measured while nobody asks. A question keeps a task's statistics
//     running for Linger, so that someone who asks again gets real rates at once.
//   - Processor shares are rates between two looks; the first one ever takes
//     firstLook.
//
// Example:
//
//	host := stats.NewHost(allocDir)
//	usage, err := host.Read(ctx)
package stats
