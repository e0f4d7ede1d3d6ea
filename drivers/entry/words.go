package entry

import (
	"errors"
	"fmt"
	"strings"
)

// refused marks a program that execve would not run after all checks passed.
const refused = "the kernel refused the program"

// outOfMemory marks a container that was killed before it ran anything; it is a
// part of libcontainer's own text for that.
const outOfMemory = "OOM-killed"

// faults translates what libcontainer says about mistakes in a job. Its errors
// cross a process boundary as text, so text is all there is to go by; an error
// that matches nothing is passed on as it is. Marks that are common words count
// only in errors about the command itself, which have the prefix aboutCommand.
var faults = []struct {
	mark   string
	common bool
	text   func(s *Spec) string
}{
	{"executable file not found in $PATH", false, func(s *Spec) string {
		return fmt.Sprintf("command not found: %s is in no directory of PATH inside the task's file system", s.Args[0])
	}},
	{"chdir to cwd", false, func(s *Spec) string {
		return fmt.Sprintf("the working directory %s does not exist inside the task's file system or may not be entered by user id %d", s.Cwd, s.UID)
	}},
	{outOfMemory, false, tooLittleMemory},
	{"unable to set memory limit", false, tooLittleMemory},
	{refused, true, func(s *Spec) string {
		return fmt.Sprintf("%s is not a program for this machine, or the interpreter that its first line names does not exist inside the task's file system (the task's stderr has the kernel's word)", s.Args[0])
	}},
	{"no such file or directory", true, func(s *Spec) string {
		return fmt.Sprintf("command not found: %s does not exist inside the task's file system", s.Args[0])
	}},
	{"is a directory", true, func(s *Spec) string {
		return fmt.Sprintf("%s is a directory and not a program", s.Args[0])
	}},
	{"permission denied", true, func(s *Spec) string {
		return fmt.Sprintf("permission denied: %s is not executable by user id %d", s.Args[0], s.UID)
	}},
}

// aboutCommand is in every error that libcontainer gives for its command.
const aboutCommand = "exec: "

func tooLittleMemory(s *Spec) string {
	return fmt.Sprintf("out of memory: the memory limit of %d MB is too low to start a container", s.Config.Cgroups.Memory>>20)
}

// InWords says of an error of the start what a job's author can change.
func (s *Spec) InWords(err error) error {
	text := err.Error()
	for _, f := range faults {
		if strings.Contains(text, f.mark) && (!f.common || strings.Contains(text, aboutCommand)) && len(s.Args) > 0 {
			return errors.New(f.text(s))
		}
	}
	return fmt.Errorf("the container did not start: %w", err)
}
