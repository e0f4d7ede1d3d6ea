package chaos

import (
	"context"
	"fmt"
	"math/rand/v2"
	"syscall"
	"time"

	"github.com/steppe-project/steppe/internal/faults"
)

// Injector does faults, one after the other.
type Injector struct {
	c *Cluster
	r *rand.Rand
	w *Workload

	// Log tells each fault with its time; Count counts by kind.
	Log   []string
	Count map[string]int
	// Led are the times at which a fault took the leader away.
	Led   []time.Duration
	begin time.Time
}

// NewInjector makes one that chooses by seed.
func (c *Cluster) NewInjector(seed uint64, w *Workload) *Injector {
	return &Injector{c: c, w: w, r: rand.New(rand.NewPCG(seed, 1<<32)), Count: map[string]int{}, begin: time.Now()}
}

// Fault is a kind of fault: do begins it, lets it last and ends it.
type Fault struct {
	Name string
	do   func(i *Injector, lasting time.Duration)
}

// ServerFaults are the faults of servers and of the network between them.
var ServerFaults = []Fault{
	{"kill the leader", func(i *Injector, d time.Duration) { i.kill(i.leader(), d) }},
	{"kill a server", func(i *Injector, d time.Duration) { i.kill(i.server(), d) }},
	{"kill all servers", (*Injector).killAll},
	{"end the leader", (*Injector).end},
	{"freeze the leader", func(i *Injector, d time.Duration) { i.freeze(i.leader(), d) }},
	{"freeze a server", func(i *Injector, d time.Duration) { i.freeze(i.server(), d) }},
	{"stutter", (*Injector).stutter},
	{"pull a cable", (*Injector).cable},
	{"isolate the leader", func(i *Injector, d time.Duration) { i.isolate(i.leader(), d) }},
	{"isolate a server", func(i *Injector, d time.Duration) { i.isolate(i.server(), d) }},
	{"the leader is not heard", (*Injector).mute},
	{"the leader hears nobody", (*Injector).deaf},
	{"two servers do not see each other", (*Injector).bridge},
	{"loss", (*Injector).loss},
	{"delay", (*Injector).delay},
	{"clock step", (*Injector).clock},
	{"hand over", (*Injector).handOver},
}

// Do does one fault of that kind.
func (i *Injector) Do(f Fault, lasting time.Duration) {
	i.Count[f.Name]++
	i.say("%s for %v", f.Name, lasting.Round(time.Millisecond))
	f.do(i, lasting)
}

// Any does one fault at random.
func (i *Injector) Any(faults []Fault) { i.Do(faults[i.r.IntN(len(faults))], i.lasting()) }

// lasting is how long a fault lasts: mostly about an election's time.
func (i *Injector) lasting() time.Duration {
	return 100*time.Millisecond + time.Duration(i.r.ExpFloat64()*float64(900*time.Millisecond))%(4*time.Second)
}

func (i *Injector) say(format string, args ...any) {
	i.Log = append(i.Log, fmt.Sprintf("%9.4f ", time.Since(i.begin).Seconds())+fmt.Sprintf(format, args...))
}

// led notes that a fault takes a away, if it leads.
func (i *Injector) led(a *faults.Agent) {
	if i.c.leader() == a {
		i.Led = append(i.Led, i.w.history.Now())
	}
}

func (i *Injector) server() *faults.Agent { return i.c.Servers[i.r.IntN(len(i.c.Servers))] }

// leader is the leader, or some server while there is none.
func (i *Injector) leader() *faults.Agent {
	if l := i.c.leader(); l != nil {
		return l
	}
	return i.server()
}

func (i *Injector) kill(a *faults.Agent, d time.Duration) {
	i.say("kill %s", a.Name)
	i.led(a)
	a.Signal(syscall.SIGKILL)
	i.w.NewLife(a)
	time.Sleep(d)
	a.Start()
}

func (i *Injector) killAll(d time.Duration) {
	for _, a := range i.c.Servers {
		a.Signal(syscall.SIGKILL)
		i.w.NewLife(a)
	}
	time.Sleep(d)
	for _, a := range i.c.Servers {
		a.Start()
	}
}

func (i *Injector) end(d time.Duration) {
	a := i.leader()
	i.say("end %s", a.Name)
	a.Signal(syscall.SIGTERM)
	i.w.NewLife(a)
	time.Sleep(d)
	a.Start()
}

func (i *Injector) freeze(a *faults.Agent, d time.Duration) {
	i.say("freeze %s", a.Name)
	if d > time.Second {
		i.led(a) // shorter ones may pass unnoticed
	}
	a.Freeze()
	time.Sleep(d)
	a.Thaw()
}

// stutter stops and continues the leader's process in turns: a machine without
// processor time.
func (i *Injector) stutter(d time.Duration) {
	a := i.leader()
	i.say("stutter %s", a.Name)
	for end := time.Now().Add(d); time.Now().Before(end); {
		a.Freeze()
		time.Sleep(time.Duration(20+i.r.IntN(300)) * time.Millisecond)
		a.Thaw()
		time.Sleep(time.Duration(5+i.r.IntN(50)) * time.Millisecond)
	}
}

func (i *Injector) cable(d time.Duration) {
	a := i.server()
	i.say("cable of %s", a.Name)
	i.c.Site.Cut(a)
	time.Sleep(d)
	i.c.Site.Heal(a)
}

// isolate cuts a server from the others; callers still reach it.
func (i *Injector) isolate(a *faults.Agent, d time.Duration) {
	i.say("isolate %s", a.Name)
	i.c.Site.Drop(a, i.c.others(a)...)
	for _, o := range i.c.others(a) {
		i.c.Site.Drop(o, a)
	}
	time.Sleep(d)
	i.clear()
}

func (i *Injector) mute(d time.Duration) {
	a := i.leader()
	i.say("mute %s", a.Name)
	for _, o := range i.c.others(a) {
		i.c.Site.Drop(o, a)
	}
	time.Sleep(d)
	i.clear()
}

func (i *Injector) deaf(d time.Duration) {
	a := i.leader()
	i.say("deaf %s", a.Name)
	i.c.Site.Drop(a, i.c.others(a)...)
	time.Sleep(d)
	i.clear()
}

// bridge leaves one server between two that do not see each other.
func (i *Injector) bridge(d time.Duration) {
	a := i.leader()
	o := i.c.others(a)
	b := o[i.r.IntN(len(o))]
	i.say("between %s and %s", a.Name, b.Name)
	i.c.Site.Drop(a, b)
	i.c.Site.Drop(b, a)
	time.Sleep(d)
	i.clear()
}

func (i *Injector) loss(d time.Duration) {
	percent := 5 + i.r.IntN(40)
	i.say("loss of %d %%", percent)
	for _, a := range i.c.Servers {
		i.c.Site.Lose(a, percent, i.c.others(a)...)
	}
	time.Sleep(2 * d)
	i.clear()
}

// delay has a server's packets, or those of all, take up to a seventh of a second
// longer each way: below what an election waits for.
func (i *Injector) delay(d time.Duration) {
	by := time.Duration(5+i.r.IntN(100)) * time.Millisecond
	slow := []*faults.Agent{i.server()}
	if i.r.IntN(2) == 0 {
		slow, by = i.c.Servers, by/2
	}
	i.say("delay of %v at %d servers", by, len(slow))
	for _, a := range slow {
		defer i.c.Site.Delay(a, by, by/3)()
	}
	time.Sleep(2 * d)
}

func (i *Injector) clear() {
	for _, a := range i.c.Servers {
		i.c.Site.Clear(a)
	}
}

// clock sets the clock of a server an hour ahead or back, or right again.
func (i *Injector) clock(d time.Duration) {
	a := i.server()
	offset := time.Duration(i.r.IntN(3)-1) * time.Hour
	i.say("clock of %s is %v ahead", a.Name, offset)
	a.SetClock(offset)
	time.Sleep(d / 2)
}

func (i *Injector) handOver(d time.Duration) {
	a := i.leader()
	i.say("%s hands over", a.Name)
	ctx, cancel := context.WithTimeout(context.Background(), callLimit)
	defer cancel()
	if err := a.API.Cluster().TransferLeadership(ctx, "", ""); err != nil {
		i.say("%s did not hand over: %v", a.Name, err)
	}
	time.Sleep(d / 4)
}
