// Package pilot cares for the servers of a cluster while this one leads: it adds
// those that joined, decides which of them vote, and removes dead ones.
//
// Contract and invariants:
//
//   - Who votes is a function of the settings and of the servers as they are
//     (Decide). Doing its steps comes to an end, a majority that is healthy stays
//     one at each change, votes are given before they are taken, and the leader is
//     demoted by nobody but its successor.
//   - With redundancy zones, each zone has one voter; a standby takes the place of
//     one that failed, and of a zone that is lost one of another zone does.
//   - Newer servers get votes when there are as many of them as old voters; the
//     old ones lose theirs then.
//   - A server that understands less than the cluster's feature level is not added.
//
// Example:
//
//	p := pilot.New(host, pilot.Config{ID: id, Settings: settings, Servers: servers, Stats: stats, Forget: forget, Logger: log})
//	p.Run(ctx) // while this server leads
package pilot
