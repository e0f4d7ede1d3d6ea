// Package query answers the reads of the API from the local state.
//
// Contract and invariants:
//
//   - A read with MinIndex waits until what it reads has changed after that
//     index, or until its time is over; then it answers with what there is.
//     Only changes of what is read wake it.
//   - The index of an answer is that of the last change of what was read; it
//     never is zero, so that it can be waited on.
//   - A read in default or consistent mode contains every write that was
//     acknowledged before it came; a stale one is answered by any server, which
//     says how long ago it heard from the leader.
//   - Pages are cut by keys, not by positions: NextToken is the key of the first
//     row of the next page, and holds whatever changes in between.
//   - Rows in answers are shared with the state and immutable.
//
// Example:
//
//	q := query.New(query.Config{Store: store, Consensus: host})
//	q.Register(server)
package query
