package faults

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/steppe-project/steppe/model"
)

// put sends a body and returns status and text.
func (a *Agent) put(t *testing.T, path string, body io.Reader) (int, string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPut, a.URL()+path, body)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatalf("PUT %s: no answer: %v", path, err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		t.Fatalf("PUT %s: %v", path, err)
	}
	return resp.StatusCode, string(text)
}

// asJSON is a registration of a job in which one attribute is replaced.
func asJSON(t *testing.T, job *model.Job, old, replacement string) string {
	t.Helper()
	b, err := json.Marshal(map[string]any{"Job": job})
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(b), old) {
		t.Fatalf("%s is not in %s", old, b)
	}
	return strings.Replace(string(b), old, replacement, 1)
}

// TestBadInput sends an agent what nobody should; each time the answer names the
// fault, and in the end the agent and its job are as before.
func TestBadInput(t *testing.T) {
	t.Parallel()
	s, a := single(t)
	a.Register(s.Script("innocent", model.JobTypeService, "raw_exec", 1, Forever))
	a.AwaitRunning("innocent", 1)
	before := s.Tasks()
	for _, test := range []struct {
		name string
		run  func(*testing.T, *Site, *Agent)
	}{
		{"large", largeInput}, {"nested", nestedInput}, {"numbers", numbers}, {"names", names}, {"paths", paths}, {"cut", cutBody},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.run(t, s, a)
			if err := a.Nodes(1); err != nil {
				t.Errorf("the agent does not answer: %v\n%s", err, a.Log(4000))
			}
		})
	}
	jobs, _, err := a.API.Jobs().List(short(), nil)
	if err != nil || len(jobs) != 1 {
		t.Errorf("%d jobs instead of one: %v", len(jobs), err)
	}
	if now := s.Tasks(); len(now) != 1 || fmt.Sprint(now) != fmt.Sprint(before) {
		t.Errorf("tasks were %v, are %v", before, now)
	}
	a.AwaitGone("innocent")
}

// largeSize is the job file of the issue.
const largeSize = 50 << 20

func largeInput(t *testing.T, s *Site, a *Agent) {
	file := filepath.Join(s.Dir(), "large.hcl")
	comment := "# " + strings.Repeat("x", 1021) + "\n"
	if err := os.WriteFile(file, []byte("job \"large\" {}\n"+strings.Repeat(comment, largeSize/len(comment))), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, verb := range []string{"run", "validate"} {
		out, err := a.CLI("job", verb, file)
		if err == nil || !strings.Contains(out, "too large") || len(out) > 2000 {
			t.Errorf("job %s: %v: %.300s", verb, err, out)
		}
	}
	big := `{"Job":{"ID":"large","Meta":{"x":"` + strings.Repeat("x", largeSize) + `"}}}`
	for _, path := range []string{"/v1/jobs", "/v1/jobs/parse", "/v1/validate/job"} {
		if code, text := a.put(t, path, strings.NewReader(big)); code != http.StatusRequestEntityTooLarge || !strings.Contains(text, "MB") {
			t.Errorf("%s: %d %.300s", path, code, text)
		}
	}
}

func nestedInput(t *testing.T, s *Site, a *Agent) {
	const deep = 100_000
	for name, text := range map[string]string{
		"blocks":      strings.Repeat("a {\n", deep) + strings.Repeat("}\n", deep),
		"parentheses": "job \"x\" {\n priority = " + strings.Repeat("(", deep) + "1" + strings.Repeat(")", deep) + "\n}\n",
		"lists":       "job \"x\" {\n meta = " + strings.Repeat("[", deep) + strings.Repeat("]", deep) + "\n}\n",
		"templates":   "job \"x\" {\n name = \"" + strings.Repeat("${\"", deep) + strings.Repeat("\"}", deep) + "\"\n}\n",
		"unclosed":    "job \"x\" " + strings.Repeat("{ a ", deep),
	} {
		file := filepath.Join(s.Dir(), name+".hcl")
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if out, err := a.CLI("job", "run", file); err == nil || strings.Contains(out, "goroutine ") || len(out) > 4000 || len(out) < 20 {
			t.Errorf("%s by CLI: %v: %.300s", name, err, out)
		}
		b, err := json.Marshal(map[string]any{"JobHCL": text})
		if err != nil {
			t.Fatal(err)
		}
		if code, text := a.put(t, "/v1/jobs/parse", strings.NewReader(string(b))); code != http.StatusBadRequest || len(text) < 20 {
			t.Errorf("%s by HTTP: %d %.300s", name, code, text)
		}
	}
	lists := `{"Job":` + strings.Repeat("[", deep) + strings.Repeat("]", deep) + `}`
	if code, text := a.put(t, "/v1/jobs", strings.NewReader(lists)); code != http.StatusBadRequest || len(text) < 20 {
		t.Errorf("JSON: %d %.300s", code, text)
	}
}

// refused tells whether an answer is a refusal in words: status 400, or 500 for
// what validation finds, as existing clients expect it.
func refused(code int, text string) bool {
	return len(text) > 20 && (code == http.StatusBadRequest || code == http.StatusInternalServerError && strings.Contains(text, " occurred:\n"))
}

func numbers(t *testing.T, s *Site, a *Agent) {
	job := s.Script("numbers", model.JobTypeService, "raw_exec", 1, Forever)
	for _, number := range []string{"1e400", "-1e400", "99999999999999999999999", strings.Repeat("9", 100_000), "-1", "1.5", "9223372036854775807", "2000000000", `"5"`, "NaN"} {
		body := asJSON(t, job, `"Count":1,`, `"Count":`+number+`,`)
		if code, text := a.put(t, "/v1/jobs", strings.NewReader(body)); !refused(code, text) || !strings.Contains(strings.ToLower(text), "count") && number != "NaN" || len(text) > 2000 {
			t.Errorf("count %.40s: %d %.300s", number, code, text)
		}
	}
	for _, number := range []string{"1e30", "-5", "9223372036854775807"} {
		body := asJSON(t, job, `"MemoryMB":16,`, `"MemoryMB":`+number+`,`)
		if code, text := a.put(t, "/v1/jobs", strings.NewReader(body)); !refused(code, text) || !strings.Contains(strings.ToLower(text), "memory") {
			t.Errorf("memory %s: %d %.300s", number, code, text)
		}
	}
}

// badNames are names for jobs, groups and tasks that must not be.
var badNames = []string{"../../../etc", "a\x00b", "a\nb", "a\x1b[31mb", "", strings.Repeat("x", 10_000), "..", "/", "a/../../b"}

func names(t *testing.T, s *Site, a *Agent) {
	for _, name := range badNames {
		for what, change := range map[string]func(*model.Job){
			"job": func(j *model.Job) { j.ID, j.Name = name, name },
			"group": func(j *model.Job) {
				if j.TaskGroups[0].Name = name; strings.Count(name, "/") == 1 {
					j.TaskGroups[0].Name = "../x"
				}
			},
			"task": func(j *model.Job) { j.TaskGroups[0].Tasks[0].Name = name },
		} {
			if what == "job" && name == "a/../../b" || what == "job" && name == "/" {
				continue // slashes are allowed in ids of jobs, which are no paths
			}
			job := s.Script("names", model.JobTypeService, "raw_exec", 1, Forever)
			change(job)
			b, err := json.Marshal(map[string]any{"Job": job})
			if err != nil {
				t.Fatal(err)
			}
			code, text := a.put(t, "/v1/jobs", strings.NewReader(string(b)))
			if !refused(code, text) || strings.ContainsAny(text, "\x00\x1b") {
				t.Errorf("%s %.40q: %d %.300q", what, name, code, text)
			}
			if code == http.StatusOK {
				a.Stop(url.PathEscape(job.ID))
			}
		}
	}
}

// paths tries to read what is not the allocation's.
func paths(t *testing.T, _ *Site, a *Agent) {
	allocs, err := a.Allocs("innocent")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"../../../../../../../../etc/passwd", "/../../../../etc/passwd", "t/../../../../../../etc/passwd", "t/\x00", "alloc/logs/../../../client/client.db"} {
		for _, verb := range []string{"cat", "stat", "ls", "readat"} {
			target := a.URL() + "/v1/client/fs/" + verb + "/" + allocs[0].ID + "?offset=0&limit=10&path=" + url.QueryEscape(path)
			resp, err := http.Get(target)
			if err != nil {
				t.Fatal(err)
			}
			text, err := io.ReadAll(resp.Body)
			resp.Body.Close()
			if err != nil || resp.StatusCode < 400 || strings.Contains(string(text), "root:") {
				t.Errorf("%s %q: %d %.200q %v", verb, path, resp.StatusCode, text, err)
			}
		}
	}
}

// cutBody sends half of a request, by both framings.
func cutBody(t *testing.T, s *Site, a *Agent) {
	b, err := json.Marshal(map[string]any{"Job": s.Script("cut", model.JobTypeService, "raw_exec", 1, Forever)})
	if err != nil {
		t.Fatal(err)
	}
	half := string(b[:len(b)/2])
	for name, request := range map[string]string{
		"length":  "Content-Length: " + strconv.Itoa(len(b)) + "\r\n\r\n" + half,
		"chunked": "Transfer-Encoding: chunked\r\n\r\n" + strconv.FormatInt(int64(len(half)), 16) + "\r\n" + half + "\r\n",
		"whole":   "Content-Length: " + strconv.Itoa(len(half)) + "\r\n\r\n" + half,
	} {
		c, err := net.Dial("tcp", a.Addr+":4646")
		if err != nil {
			t.Fatal(err)
		}
		if err := c.SetDeadline(time.Now().Add(Patience)); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(c, "PUT /v1/jobs HTTP/1.1\r\nHost: x\r\n"+request); err != nil {
			t.Fatal(err)
		}
		if err := c.(*net.TCPConn).CloseWrite(); err != nil {
			t.Fatal(err)
		}
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Errorf("%s: no answer: %v", name, err)
			continue
		}
		text, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		c.Close()
		if err != nil || resp.StatusCode != http.StatusBadRequest || len(text) < 10 {
			t.Errorf("%s: %d %.300s %v", name, resp.StatusCode, text, err)
		}
	}
}

// Idle connections: as many as the issue says, as many of one address as are
// allowed by default.
const (
	idleConns   = 10_000
	perAddress  = 100
	dialersIdle = 16
)

// TestIdleConnections holds ten thousand connections that asked once and say
// nothing more: first from many addresses, then all from one.
func TestIdleConnections(t *testing.T) {
	t.Parallel()
	var limit syscall.Rlimit // Go has raised the soft one already, here and in the agent
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	if limit.Cur < idleConns+1000 {
		t.Skipf("this process may open only %d files", limit.Cur)
	}
	_, a := single(t)
	for name, addresses := range map[string]int{"many addresses": idleConns / perAddress, "one address": 1} {
		t.Run(name, func(t *testing.T) {
			refused := atomic.Int64{}
			conns := make(chan net.Conn, idleConns)
			var next atomic.Int64
			var wg sync.WaitGroup
			for range dialersIdle {
				wg.Go(func() {
					for n := int(next.Add(1)); n <= idleConns; n = int(next.Add(1)) {
						if c, err := idle(a.Addr, n%addresses); err == nil {
							conns <- c
						} else if refused.Add(1); addresses > 1 {
							t.Errorf("connection %d: %v", n, err)
						}
					}
				})
			}
			wg.Wait()
			close(conns)
			start := time.Now()
			if err := a.Nodes(1); err != nil {
				t.Errorf("the API does not answer: %v", err)
			}
			out, err := a.CLI("node", "status")
			if err != nil || !strings.Contains(out, "ready") {
				t.Errorf("the CLI fails: %v %s", err, out)
			}
			t.Logf("%d connections, %d refused: API and CLI answer within %v", len(conns), refused.Load(), time.Since(start).Round(time.Millisecond))
			for c := range conns {
				c.Close()
			}
		})
	}
}

// idle opens a connection from a loopback address, asks once and stays. Address
// 0 is the one that the test's other requests come from.
func idle(addr string, from int) (net.Conn, error) {
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, byte(from+1))}, Timeout: Patience}
	c, err := d.Dial("tcp", addr+":4646")
	if err != nil {
		return nil, err
	}
	if err := c.SetDeadline(time.Now().Add(Patience)); err != nil {
		return nil, err
	}
	if _, err := io.WriteString(c, "GET /v1/status/leader HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		return nil, err
	}
	var buf [512]byte
	if n, err := c.Read(buf[:]); err != nil || !strings.HasPrefix(string(buf[:n]), "HTTP/1.1 200") {
		return nil, fmt.Errorf("%q %w", buf[:n], err)
	}
	return c, nil
}
