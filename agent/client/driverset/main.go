package driverset

import (
	"github.com/steppe-project/steppe/drivers/exec"
	"github.com/steppe-project/steppe/drivers/mock"
	"github.com/steppe-project/steppe/drivers/rawexec"
	"github.com/steppe-project/steppe/plugins"
	"github.com/steppe-project/steppe/plugins/serve"
)

// mainArg is the first argument of a process that is a built-in driver.
const mainArg = "__driver"

// builtin makes each driver that is part of the program, by its name in job files.
var builtin = map[string]func() plugins.Driver{
	rawexec.Name: func() plugins.Driver { return rawexec.New() },
	exec.Name:    func() plugins.Driver { return exec.New() },
	mock.Name:    func() plugins.Driver { return mock.New() },
}

// Main turns this process into a built-in driver if it was started as one, and
// returns only when the driver has ended. Call it first in main (and in
// TestMain of tests that run drivers):
//
//	if driverset.Main(os.Args) {
//		return
//	}
func Main(args []string) (handled bool) {
	if len(args) != 3 || args[1] != mainArg || builtin[args[2]] == nil {
		return false
	}
	serve.Driver(builtin[args[2]]())
	return true
}
