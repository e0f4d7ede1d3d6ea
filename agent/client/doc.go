// Package client is the node agent: it describes this machine to the servers,
// runs what they assign, reports what becomes of it, and answers for its files,
// logs and usage.
//
//	fingerprint ─▶ board ─▶ session ◀──▶ a server
//	                          │  ▲
//	              assignments ▼  │ reports
//	                        alloc.Set ─▶ runners ─▶ task.Step ─▶ drivers
//	                          │
//	                          db
//
// Contract and invariants:
//
//   - A client that ends leaves tasks running, and takes them up again when it is
//     started on the same directories; in dev mode it ends and removes everything.
//   - One client per state directory: a second one is refused.
//   - A damaged state file is moved aside, and what runs is found again by what
//     lies in the allocation directories.
//
// Example:
//
//	c, err := client.New(ctx, client.Config{StateDir: dir, AllocDir: allocs, Servers: servers, Handlers: rpcServer, Logger: log})
//	err = c.Run(ctx)
package client
