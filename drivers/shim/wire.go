package shim

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"
)

// encoder writes the record that shim_config.c reads: a length, then fields of
// one tag byte, a 4-byte length and a value that ends in a zero byte.
type encoder struct {
	b   []byte
	bad string // first value with a zero byte in it
}

func (e *encoder) str(tag byte, v string) {
	if strings.IndexByte(v, 0) >= 0 && e.bad == "" {
		e.bad = v
	}
	e.raw(tag, v)
}

func (e *encoder) raw(tag byte, v string) {
	e.b = append(e.b, tag)
	e.b = binary.LittleEndian.AppendUint32(e.b, uint32(len(v)+1))
	e.b = append(e.b, v...)
	e.b = append(e.b, 0)
}

func (e *encoder) opt(tag byte, v string) {
	if v != "" {
		e.str(tag, v)
	}
}

func (e *encoder) num(tag byte, v int64) { e.str(tag, strconv.FormatInt(v, 10)) }

// launcherEnv keeps a launcher, and the container's init that it starts, from
// starting threads and a garbage collector for the milliseconds of their lives.
// The task never sees it: its environment is in the launcher's payload.
var launcherEnv = []string{"GOMAXPROCS=1", "GOGC=off"}

// encode returns the whole message, length included.
func (c *Config) encode(bootID string) ([]byte, error) {
	e := &encoder{b: make([]byte, 4, 4096)}
	path, args, env := c.Path, c.Args, c.Env
	if c.Launch != nil {
		path, args, env = cmp.Or(c.Launcher, selfExe), []string{"steppe-launch", LauncherArg}, launcherEnv
		e.raw('l', string(c.Launch))
	}
	e.str('d', c.Dir)
	e.str('c', path)
	e.str('w', c.WorkDir)
	e.str('b', bootID)
	for _, a := range args {
		e.str('a', a)
	}
	for _, v := range env {
		e.str('e', v)
	}
	for _, p := range c.Join {
		e.str('p', p)
	}
	e.opt('K', c.KillDir)
	if c.Launch == nil {
		e.opt('n', c.Network)
	}
	c.encodeLimits(e)
	c.encodeOutput(e)
	if e.bad != "" {
		return nil, fmt.Errorf("a zero byte in %q: arguments, environment and paths cannot hold one", e.bad)
	}
	if len(e.b)-4 > maxConfigBytes {
		return nil, fmt.Errorf("arguments and environment of %d bytes are more than the limit of %d", len(e.b), maxConfigBytes)
	}
	binary.LittleEndian.PutUint32(e.b, uint32(len(e.b)-4))
	return e.b, nil
}

func (c *Config) encodeLimits(e *encoder) {
	if c.Credential != nil && c.Launch == nil {
		e.num('u', int64(c.Credential.UID))
		e.num('g', int64(c.Credential.GID))
		for _, g := range c.Credential.Groups {
			e.num('G', int64(g))
		}
	}
	for _, r := range c.Rlimits {
		e.str('r', fmt.Sprintf("%d %d %d", r.Resource, r.Soft, r.Hard))
	}
	if c.OOMScoreAdj != nil {
		e.num('o', int64(*c.OOMScoreAdj))
	}
}

func (c *Config) encodeOutput(e *encoder) {
	if c.Logs == nil {
		e.opt('O', c.Stdout)
		e.opt('E', c.Stderr)
		return
	}
	e.str('L', c.Logs.Dir)
	e.str('N', c.Logs.Name)
	e.num('F', int64(c.Logs.MaxFiles))
	e.num('B', c.Logs.MaxBytes)
}

// record is a parsed status or exit record: lines of key=value, ended by a dot.
type record map[string]string

// parseRecord returns nil for anything that is not a whole record.
func parseRecord(b []byte) record {
	text, _, whole := strings.Cut(string(b), "\n.\n")
	if !whole {
		return nil
	}
	r := record{}
	for line := range strings.SplitSeq(text, "\n") {
		if k, v, ok := strings.Cut(line, "="); ok {
			r[k] = v
		}
	}
	return r
}

func (r record) num(key string) int64 {
	n, _ := strconv.ParseInt(r[key], 10, 64)
	return n
}
