// Package version says what this binary is. Commit and Date are stamped by the
// build (see GNUmakefile); Number changes with a release.
package version

import "runtime"

// Number is the semantic version of this source tree.
const Number = "0.1.0"

// Compat is the version of the API and job language that clients and
// constraints on ${attr.nomad.version} may count on.
const Compat = "1.11.0"

// Commit and Date are set with -ldflags -X.
var (
	Commit = "unknown"
	Date   = "unknown"
)

// Short is the number with the commit, as member tags and lists show it.
func Short() string { return Number + "+" + Commit }

// Full is the text of `steppe version`.
func Full() string {
	return "Steppe v" + Number + "\nCommit " + Commit + "\nBuilt " + Date + " with " + runtime.Version() +
		"\nCompatible with the Nomad API " + Compat
}
