// Package db is the client's memory over restarts: which allocations it was
// told to run, what became of their tasks, how to find them again, and how to
// reach the driver processes. One bbolt file holds it.
//
// Contract and invariants:
//
//   - Write returns when its records are on disk. Writers that wait at the same
//     time share one commit, so that a hundred starts cost a few fsyncs.
//   - WriteLater is durable soon (lazyDelay), and before any later Write.
//   - Records are written whole; a reader never sees half of a write.
//   - A file of a newer format is refused (ErrNewer); a damaged one is ErrCorrupt,
//     found when it is opened and never by a crash later.
//
// Example:
//
//	store, err := db.Open(filepath.Join(stateDir, "client.db"))
//	contents := store.Contents()
//	go store.Run(ctx)
//	err = store.Write(ctx, db.PutTask(allocID, "web", record))
package db
