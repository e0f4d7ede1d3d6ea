// Package proposal encodes what components decide.
//
// Example:
//
//	return proposal.Of(&fsm.UpsertEvals{Evals: evals})
package proposal

import (
	"fmt"

	"github.com/steppe-project/steppe/fsm"
)

// Of encodes the command of a component. The commands of components consist of
// fixed types only (no job, whose driver configuration is open), so that
// encoding cannot fail; Of panics if it does.
func Of(body fsm.Body) fsm.Command {
	cmd, err := fsm.NewCommand(body)
	if err != nil {
		panic(fmt.Sprintf("proposal: a command of fixed types cannot fail to encode: %v", err))
	}
	return cmd
}
