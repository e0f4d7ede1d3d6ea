package mock

import (
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/steppe-project/steppe/drivers/shim/settings"
	"github.com/steppe-project/steppe/plugins"
)

// command is what a task, or an exec into one, does.
type command struct {
	runFor, killAfter time.Duration
	exitCode          int
	exitSignal        int
	exitErr           string
	signalErr         string
	stdout            string
	repeat            int
	repeatEvery       time.Duration
}

// taskConfig is a job's config block.
type taskConfig struct {
	command
	startErr            string
	startErrRecoverable bool
	startBlockFor       time.Duration
	pluginExitAfter     time.Duration
	driverIP            string
	driverAdvertise     bool
	driverPortMap       string
	exec                *command
}

// commandSpec are the settings of both.
func commandSpec() map[string]*plugins.Spec {
	return map[string]*plugins.Spec{
		"run_for":                plugins.WithDefault(plugins.Attr("run_for", "string", false), `"0s"`),
		"kill_after":             plugins.Attr("kill_after", "string", false),
		"exit_code":              plugins.Attr("exit_code", "number", false),
		"exit_signal":            plugins.Attr("exit_signal", "number", false),
		"exit_err_msg":           plugins.Attr("exit_err_msg", "string", false),
		"signal_error":           plugins.Attr("signal_error", "string", false),
		"stdout_string":          plugins.Attr("stdout_string", "string", false),
		"stdout_repeat":          plugins.Attr("stdout_repeat", "number", false),
		"stdout_repeat_duration": plugins.Attr("stdout_repeat_duration", "string", false),
	}
}

func taskSpec() *plugins.Spec {
	m := commandSpec()
	m["start_error"] = plugins.Attr("start_error", "string", false)
	m["start_error_recoverable"] = plugins.Attr("start_error_recoverable", "bool", false)
	m["start_block_for"] = plugins.Attr("start_block_for", "string", false)
	m["plugin_exit_after"] = plugins.Attr("plugin_exit_after", "string", false)
	m["driver_ip"] = plugins.Attr("driver_ip", "string", false)
	m["driver_advertise"] = plugins.Attr("driver_advertise", "bool", false)
	m["driver_port_map"] = plugins.Attr("driver_port_map", "string", false)
	m["exec_command"] = &plugins.Spec{Block: &plugins.BlockSpec{Name: "exec_command", Nested: &plugins.Spec{Object: commandSpec()}}}
	return &plugins.Spec{Object: m}
}

func readCommand(b *settings.Block) command {
	return command{
		runFor: b.Duration("run_for"), killAfter: b.Duration("kill_after"),
		exitCode: int(b.Int("exit_code")), exitSignal: int(b.Int("exit_signal")),
		exitErr: b.String("exit_err_msg"), signalErr: b.String("signal_error"),
		stdout: b.String("stdout_string"), repeat: int(b.Int("stdout_repeat")), repeatEvery: b.Duration("stdout_repeat_duration"),
	}
}

func parseTask(msgpack []byte) (*taskConfig, error) {
	b := settings.Parse(msgpack)
	t := &taskConfig{
		command: readCommand(b), startErr: b.String("start_error"), startErrRecoverable: b.Bool("start_error_recoverable"),
		startBlockFor: b.Duration("start_block_for"), pluginExitAfter: b.Duration("plugin_exit_after"),
		driverIP: b.String("driver_ip"), driverAdvertise: b.Bool("driver_advertise"), driverPortMap: b.String("driver_port_map"),
	}
	if in := b.Block("exec_command"); in != nil {
		c := readCommand(in)
		t.exec = &c
	}
	if err := b.Err(); err != nil {
		return nil, err
	}
	if t.runFor < 0 || t.killAfter < 0 || t.repeat < 0 {
		return nil, errors.New("run_for, kill_after and stdout_repeat must not be negative")
	}
	if _, err := t.ports(); err != nil {
		return nil, err
	}
	return t, nil
}

// ports reads driver_port_map: one pair "label:port".
func (t *taskConfig) ports() (map[string]int, error) {
	if t.driverPortMap == "" {
		return nil, nil
	}
	for i := len(t.driverPortMap) - 1; i > 0; i-- {
		if t.driverPortMap[i] != ':' {
			continue
		}
		if port, err := strconv.Atoi(t.driverPortMap[i+1:]); err == nil {
			return map[string]int{t.driverPortMap[:i]: port}, nil
		}
	}
	return nil, fmt.Errorf(`driver_port_map %q must be "label:port"`, t.driverPortMap)
}

func (c *command) exit() plugins.ExitResult {
	return plugins.ExitResult{ExitCode: c.exitCode, Signal: c.exitSignal, Err: c.exitErr}
}
