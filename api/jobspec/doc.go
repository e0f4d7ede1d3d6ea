// Package jobspec turns job files into model.Job.
//
// A job file is HCL: variables, locals and one job block, with functions,
// dynamic blocks and heredocs; or the same as HCL-JSON when it starts with "{".
// What refers neither to var nor to local (attr, node, meta, env, NOMAD_*)
// stays in the job as the text ${...}, for the node to fill in.
//
// Invariants: the same bytes and options give the same job; nothing is
// silently ignored (an unknown argument is an error, with line, column and a
// suggestion); all faults of a file are told at once where that is possible;
// no input makes it panic or take more than a bounded time and memory.
//
//	f, err := jobspec.Parse("web.hcl", src, jobspec.Options{Vars: []string{"count=3"}})
//	if err != nil {
//		return err // file:line:col: message, the source line, a marker
//	}
//	f.Job.Canonicalize()
//	if problems := rules.Problems(f.Job); len(problems) > 0 {
//		return f.Positions.Annotate(problems)
//	}
package jobspec
