package crash

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/steppe-project/steppe/agent/consensus"
	"github.com/steppe-project/steppe/agent/consensus/datadir"
	"github.com/steppe-project/steppe/fsm"
)

// Server is a lone server: founding, writes alone and together, snapshots with
// compaction and reaping, a restore, restarts.
var Server = &Work{Name: "server", Run: runServer, Look: lookServer, Judge: judgeServer}

// patience bounds each step of a workload.
const patience = 20 * time.Second

const (
	// largeBytes is a body that needs many pages.
	largeBytes = 300 << 10
	// segmentBytes has the log go on in another file every few writes.
	segmentBytes = 4 << 10
)

// ledger is a state machine that lists the numbers it was given.
type ledger struct {
	mu   sync.Mutex
	have []int
}

// Apply implements consensus.Machine.
func (l *ledger) Apply(e fsm.Entry) []fsm.Outcome {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := make([]fsm.Outcome, len(e.Commands))
	for i, c := range e.Commands {
		n, err := strconv.Atoi(strings.TrimRight(string(c.Body), " "))
		l.have, out[i] = append(l.have, n), fsm.Outcome{Index: e.Index, Err: err}
	}
	return out
}

// Snapshot implements consensus.Machine.
func (l *ledger) Snapshot() io.WriterTo {
	text, err := json.Marshal(l.list())
	if err != nil {
		panic(err) // numbers
	}
	return bytes.NewBuffer(text)
}

// Restore implements consensus.Machine.
func (l *ledger) Restore(r io.Reader) error {
	var have []int
	if err := json.NewDecoder(r).Decode(&have); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.have = have
	return nil
}

func (l *ledger) list() []int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]int{}, l.have...)
}

// server is a consensus host that runs.
type server struct {
	*consensus.Host
	ledger *ledger
	end    context.CancelFunc
	done   chan error
	next   int // number to write
	mu     sync.Mutex
	say    func(string, ...any)
}

// startServer opens the log in dir and leads.
func startServer(dir string, say func(string, ...any)) (*server, error) {
	s := &server{ledger: &ledger{}, done: make(chan error, 1), say: say}
	var err error
	s.Host, err = consensus.Open(consensus.Config{
		ID: "s1", Addr: "alone", Dir: dir, SegmentBytes: segmentBytes, Machine: s.ledger, Logger: slog.New(slog.NewTextHandler(os.Stderr, nil)),
		Timing: consensus.Timing{Heartbeat: 100 * time.Millisecond, Election: 100 * time.Millisecond, Lease: 100 * time.Millisecond,
			SnapshotInterval: time.Hour, TrailingEntries: 4},
	})
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	s.end = cancel
	go func() { s.done <- s.Run(ctx) }()
	return s, s.lead()
}

// lead founds the cluster if there is none and waits until s leads it.
func (s *server) lead() error {
	for began := time.Now(); ; {
		if _, err := s.Bootstrap([]consensus.Peer{{ID: "s1", Addr: "alone", Expect: 1}}); err != nil {
			return errors.Join(err, s.stop())
		}
		l := s.Leadership()
		if l.Self {
			s.say("term %d", l.Term)
			return nil
		}
		select {
		case <-l.Changed:
		case <-time.After(50 * time.Millisecond):
		case err := <-s.done:
			s.done <- nil
			return fmt.Errorf("the server ended: %w", err)
		}
		if time.Since(began) > patience {
			return errors.Join(fmt.Errorf("no leader after %s", patience), s.stop())
		}
	}
}

func (s *server) stop() error {
	s.end()
	return <-s.done
}

// put writes numbers, at the same time.
func (s *server) put(count, size int) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var wg sync.WaitGroup
	for range count {
		s.next++
		n := s.next
		s.say("try %d", n)
		wg.Go(func() {
			body := fmt.Sprintf("%-*d", size, n)
			_, err := s.Propose(ctx, fsm.Command{Kind: 1, Body: []byte(body)})
			s.mu.Lock()
			defer s.mu.Unlock()
			if err != nil {
				s.say("no %d %v", n, err)
				return
			}
			s.say("ok %d", n)
		})
	}
	wg.Wait()
}

// archive takes a snapshot.
func (s *server) archive() *bytes.Buffer {
	var b bytes.Buffer
	s.say("archiving")
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if _, err := s.SaveSnapshot(ctx, &b); err != nil {
		s.say("no archive %v", err)
		return nil
	}
	s.say("archived")
	return &b
}

// openServer opens a data directory and starts the server in it; raft is its log's.
func openServer(dir string, say func(string, ...any)) (d *datadir.Dir, raft string, s *server, err error) {
	if d, err = datadir.Open(dir); err != nil {
		return nil, "", nil, err
	}
	say("id %s", d.ID())
	if raft, err = d.Sub("server", "raft"); err != nil {
		return nil, "", nil, err
	}
	s, err = startServer(raft, say)
	return d, raft, s, err
}

func runServer(dir string, say func(string, ...any)) error {
	d, raft, s, err := openServer(dir, say)
	if err != nil {
		return err
	}
	for range 6 {
		s.put(1, 200)
	}
	saved := s.archive()
	s.put(8, 200)
	s.put(1, largeBytes)
	for range 2 { // the first is reaped, the log is compacted
		s.put(2, 200)
		s.archive()
	}
	if saved != nil {
		say("restoring")
		if _, err := s.RestoreSnapshot(context.Background(), saved); err != nil {
			say("no restore %v", err)
		} else {
			say("restored")
		}
	}
	s.put(3, 200)
	next := s.next
	if err := s.stop(); err != nil {
		return err
	}
	if s, err = startServer(raft, say); err != nil {
		return err
	}
	s.next = next
	s.put(2, 200)
	return errors.Join(s.stop(), d.Close())
}

func lookServer(dir string, say func(string, ...any)) error {
	_, raft, s, err := openServer(dir, say)
	if err != nil {
		return err
	}
	for _, n := range s.ledger.list() {
		say("have %d", n)
	}
	s.next = 1_000_000
	s.put(1, 200)
	s.archive()
	if err := s.stop(); err != nil {
		return err
	}
	return tellRemains(raft, say)
}

// tellRemains says what lies about that nobody will ever use.
func tellRemains(dir string, say func(string, ...any)) error {
	return filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		name := filepath.Base(path)
		if strings.HasSuffix(name, ".tmp") || strings.HasPrefix(name, "restore-") || strings.HasSuffix(name, ".new") {
			say("remains %s", name)
		}
		return err
	})
}

// past is one history that a crash may have left: numbers that must be there, and
// that may.
type past struct{ must, may map[int]bool }

func (p past) clone() past {
	c := past{map[int]bool{}, map[int]bool{}}
	for n := range p.must {
		c.must[n] = true
	}
	for n := range p.may {
		c.may[n] = true
	}
	return c
}

// fits tells what of have contradicts the history, nil for nothing.
func (p past) fits(have []int) error {
	count := map[int]int{}
	for _, n := range have {
		count[n]++
		if !p.may[n] || count[n] > 1 {
			return fmt.Errorf("%d is there %d times", n, count[n])
		}
	}
	for n := range p.must {
		if count[n] == 0 {
			return fmt.Errorf("acknowledged %d is lost", n)
		}
	}
	return nil
}

// remembered is what a server's words promise.
type remembered struct {
	id     string
	term   int
	pasts  []past
	before past // of the archive
}

func remember(said []string) *remembered {
	r := &remembered{pasts: []past{{map[int]bool{}, map[int]bool{}}}}
	archives := 0
	for _, line := range said {
		verb, rest, _ := strings.Cut(line, " ")
		n, err := strconv.Atoi(rest)
		switch {
		case verb == "id":
			r.id = rest
		case verb == "term" && err == nil:
			r.term = n
		case verb == "try" && err == nil:
			for _, p := range r.pasts {
				p.may[n] = true
			}
		case verb == "ok" && err == nil:
			for _, p := range r.pasts {
				p.must[n], p.may[n] = true, true
			}
		case line == "archiving":
			if archives++; archives == 1 {
				r.before = r.pasts[0].clone()
			}
		case line == "restoring":
			r.pasts = append(r.pasts, r.before.clone())
		case line == "restored":
			r.pasts = r.pasts[len(r.pasts)-1:]
		}
	}
	return r
}

// judgeServer checks that everything acknowledged is there once, that terms and
// identity did not go back, and that the server works on.
func judgeServer(said, seen []string) error {
	want, got := remember(said), remember(seen)
	var have []int
	for _, line := range seen {
		if rest, ok := strings.CutPrefix(line, "have "); ok {
			n, err := strconv.Atoi(rest)
			if err != nil {
				return err
			}
			have = append(have, n)
		}
		if strings.HasPrefix(line, "no ") || strings.HasPrefix(line, "remains ") {
			return fmt.Errorf("the fresh server: %s", line)
		}
	}
	if want.id != "" && want.id != got.id {
		return fmt.Errorf("the id was %s, is %s", want.id, got.id)
	}
	if got.term <= want.term {
		return fmt.Errorf("term %d was led, the next is %d", want.term, got.term)
	}
	var errs []error
	for _, p := range want.pasts {
		err := p.fits(have)
		if err == nil {
			return nil
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}
