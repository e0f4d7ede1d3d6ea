package shim

import (
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// LauncherArg is the first argument of the process that the shim starts when
// Config.Launch is set.
const LauncherArg = "__exec-launch"

// launchFD is where a launcher finds its way to the shim; shim.h: SHIM_LAUNCH_FD.
const launchFD = 3

// maxReport bounds one line of a launcher's report; the shim's buffer is 2 KiB.
const maxReport = 1900

// Report is a launcher's way to its shim.
type Report struct{ f *os.File }

// NewReport takes over the descriptor that the shim passed on. It must be
// called before the launcher starts any process.
func NewReport() *Report {
	unix.CloseOnExec(launchFD)
	return &Report{os.NewFile(launchFD, "shim")}
}

// Started tells the shim which process is the task; the launcher exits next.
func (r *Report) Started(pid int) error {
	_, err := fmt.Fprintf(r.f, "pid %d\n", pid)
	return err
}

// Failed tells the shim, and by it the driver, why there is no task.
func (r *Report) Failed(err error) {
	// Nobody is left to tell if the shim is gone.
	_, _ = fmt.Fprintf(r.f, "text %s\n", escape(err.Error()))
}

// Warn passes on an optional setting that could not be made.
func (r *Report) Warn(text string) {
	_, _ = fmt.Fprintf(r.f, "note %s\n", escape(text))
}

// escape makes one line of a text.
func escape(s string) string {
	if len(s) > maxReport {
		s = s[:maxReport]
	}
	return strings.ReplaceAll(strings.ReplaceAll(s, "\r", ""), "\n", "\v")
}

func unescape(s string) string { return strings.ReplaceAll(s, "\v", "\n") }
