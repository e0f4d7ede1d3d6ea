// Package tenancy has the rules of sharing a cluster: namespaces, what their jobs may
// use, and quotas. It is part of the model: pure.
//
// Contract and invariants:
//
//   - Whether a job may be registered is a function of its namespace, its quota and
//     what other jobs ask for; nothing is kept beside these (see Demand).
//   - What counts is what is asked for, not what is placed: whoever was admitted can
//     run at once, and whoever is refused hears it at once.
//   - A job that asks for no more than before is never refused for its quota.
//   - A refusal has the numbers, and names a change that lifts it (see Quota.Check).
//
// Example:
//
//	if err := namespace.Admits(job); err != nil { ... }
//	next := tenancy.Demand(job, facts)
//	err := quota.Check(job, next, now, others)
package tenancy
