// Steppe: a workload orchestrator in one binary. Everything is behind the command
// line; the binary is also its own driver processes, container launcher and
// task shim, which look at their arguments first.
package main

import (
	"os"

	"github.com/steppe-project/steppe/agent/client/driverset"
	"github.com/steppe-project/steppe/command"
)

func main() {
	if driverset.Main(os.Args) {
		return
	}
	os.Exit(command.Run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}
