package crash

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"
)

// runTimeout bounds one process of a workload.
const runTimeout = 40 * time.Second

// mixes is how many random losses are made of each state of a disk.
const mixes = 2

// Injected are the kinds that happen to a running process, Powers those that are
// made of its recording.
var (
	Injected = []Kind{Kill, Torn, EIO, ENOSPC}
	Powers   = []Kind{PowerLost, PowerNames, PowerMixed}
)

// names of files that differ from run to run.
var (
	snapshotName = regexp.MustCompile(`\d+-\d+-\d+`)
	spoolName    = regexp.MustCompile(`restore-\d+`)
	segmentName  = regexp.MustCompile(`\d+-[0-9a-f]+\.wal`)
	serverName   = regexp.MustCompile(`\bs[123]\b`)
)

// kindOf is what kind of file path is.
func kindOf(path string) string {
	path = snapshotName.ReplaceAllString(path, "SNAPSHOT")
	path = spoolName.ReplaceAllString(path, "restore-N")
	path = segmentName.ReplaceAllString(path, "SEGMENT")
	return serverName.ReplaceAllString(path, "sN")
}

// Cell is one fault point × kind.
type Cell struct {
	Tried, Refused int
	Failures       []string
}

// Matrix is what all faults of a workload led to.
type Matrix struct {
	Work  *Work
	Cells map[string]map[Kind]*Cell // by point
	// Refusals are the words of all refusals, with how often they came.
	Refusals map[string]int
	// Unmet counts runs that ended before their fault point.
	Unmet int

	mu     sync.Mutex
	looked map[string]*look // by image
	dir    string
}

// look is what a fresh process made of an image.
type look struct {
	once sync.Once
	seen []string
	err  error
}

// NewMatrix is empty; it works below dir.
func NewMatrix(w *Work, dir string) *Matrix {
	return &Matrix{Work: w, Cells: map[string]map[Kind]*Cell{}, Refusals: map[string]int{}, looked: map[string]*look{}, dir: dir}
}

// note enters a fault's end.
func (m *Matrix) note(point string, kind Kind, v Verdict, err error, story string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.Cells[point] == nil {
		m.Cells[point] = map[Kind]*Cell{}
	}
	c := m.Cells[point][kind]
	if c == nil {
		c = &Cell{}
		m.Cells[point][kind] = c
	}
	c.Tried++
	if err != nil {
		c.Failures = append(c.Failures, fmt.Sprintf("%s: %v", story, err))
	} else if v == Refused {
		c.Refused++
	}
}

// weigh judges what a fresh process saw and remembers refusals.
func (m *Matrix) weigh(said, seen []string, err error) (Verdict, error) {
	v, werr := Weigh(m.Work, said, seen, err)
	if v == Refused && werr == nil {
		m.mu.Lock()
		m.Refusals[short(err.Error(), m.dir)]++
		m.mu.Unlock()
	}
	return v, werr
}

// varying is what differs between runs in a refusal.
var varying = regexp.MustCompile(`\d+`)

// short is the last line of a refusal without what varies.
func short(text, dir string) string {
	lines := strings.Split(strings.TrimSpace(strings.ReplaceAll(text, dir, "")), "\n")
	return varying.ReplaceAllString(kindOf(lines[len(lines)-1]), "N")
}

// Reference runs the workload without a fault and checks the instrument: the
// recording must lead to just the files that are there.
func (m *Matrix) Reference(ctx context.Context) (*Recording, error) {
	dir, err := os.MkdirTemp(m.dir, "reference-")
	if err != nil {
		return nil, err
	}
	rec, err := m.watch(ctx, dir, Fault{At: -1, Kind: None})
	if err != nil {
		return nil, err
	}
	if rec.Exit != 0 {
		return nil, fmt.Errorf("the workload ended with %d: %s", rec.Exit, rec.Text)
	}
	disk := NewDisk()
	for i := range rec.Ops {
		if err := disk.Apply(&rec.Ops[i]); err != nil {
			return nil, fmt.Errorf("change %d: %w", i, err)
		}
	}
	if err := disk.Image(None, nil).differs(dir); err != nil {
		return nil, fmt.Errorf("the recording is not what happened: %w", err)
	}
	seen, err := m.look(ctx, dir)
	if err == nil {
		err = m.Work.Judge(rec.Said(), seen)
	}
	return rec, err
}

// differs tells where the files below dir are not the image's.
func (img Image) differs(dir string) error {
	left := len(img)
	return errors.Join(filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
		rel, inside := below(dir, path)
		if err != nil || !inside || rel == "." {
			return err
		}
		if e.IsDir() {
			rel += "/"
		}
		c, ok := img[rel]
		if !ok {
			return fmt.Errorf("%s is not in the recording", rel)
		}
		if left--; e.IsDir() {
			return nil
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if int64(len(data)) != c.size {
			return fmt.Errorf("%s has %d bytes, recorded are %d", rel, len(data), c.size)
		}
		for at := 0; at < len(data); at += pageBytes {
			want := c.pages[int64(at/pageBytes)]
			if want == nil {
				want = make([]byte, pageBytes)
			}
			have := data[at:min(at+pageBytes, len(data))]
			if !bytes.Equal(have, want[:len(have)]) {
				return fmt.Errorf("%s differs at %d", rel, at)
			}
		}
		return nil
	}), func() error {
		if left != 0 {
			return fmt.Errorf("%d recorded files are not there", left)
		}
		return nil
	}())
}

func (m *Matrix) watch(ctx context.Context, dir string, f Fault) (*Recording, error) {
	ctx, cancel := context.WithTimeout(ctx, runTimeout)
	defer cancel()
	return Watch(ctx, m.Work, dir, f)
}

func (m *Matrix) look(ctx context.Context, dir string) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, runTimeout)
	defer cancel()
	return Look(ctx, m.Work, dir)
}

// Inject runs the workload with a fault and judges what it left. A run without
// that fault point counts as unmet.
func (m *Matrix) Inject(ctx context.Context, f Fault) error {
	dir, err := os.MkdirTemp(m.dir, "run-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	rec, err := m.watch(ctx, dir, f)
	if err != nil {
		return err
	}
	if rec.Reached == nil {
		m.mu.Lock()
		m.Unmet++
		m.mu.Unlock()
		return nil
	}
	point, story := rec.Reached.Point(), fmt.Sprintf("%s at change %d", f.Kind, f.At)
	seen, err := m.look(ctx, dir)
	v, err := m.weigh(rec.Said(), seen, err)
	m.note(point, f.Kind, v, err, story)
	if f.Kind == EIO && err == nil {
		return m.afterEIO(ctx, rec, point, story)
	}
	return nil
}

// afterEIO has the power fail after a run with an error: what a failed fsync left
// unwritten is lost for good, whatever later ones said.
func (m *Matrix) afterEIO(ctx context.Context, rec *Recording, point, story string) error {
	disk := NewDisk()
	for i := range rec.Ops {
		if err := disk.Apply(&rec.Ops[i]); err != nil {
			return fmt.Errorf("%s: %w", story, err)
		}
	}
	v, err := m.open(ctx, disk.Image(PowerLost, nil), rec.Said())
	m.note(point, EIO, v, err, story+", then power-lost")
	return nil
}

// open has a fresh process open an image, once per image.
func (m *Matrix) open(ctx context.Context, img Image, said []string) (Verdict, error) {
	sum := img.Sum()
	m.mu.Lock()
	l := m.looked[sum]
	if l == nil {
		l = &look{}
		m.looked[sum] = l
	}
	m.mu.Unlock()
	l.once.Do(func() {
		var dir string
		if dir, l.err = os.MkdirTemp(m.dir, "image-"); l.err != nil {
			return
		}
		defer os.RemoveAll(dir)
		if l.err = img.Write(dir); l.err == nil {
			l.seen, l.err = m.look(ctx, dir)
		}
	})
	return m.weigh(said, l.seen, l.err)
}

// PowerFails makes, after the change with number at, a loss of power of each kind.
func (m *Matrix) PowerFails(ctx context.Context, rec *Recording, at int) error {
	disk, n, op := NewDisk(), -1, (*Op)(nil)
	var said []string
	for i := range rec.Ops {
		o := &rec.Ops[i]
		if o.Call == "said" {
			said = append(said, strings.Split(o.Said, "\n")...)
			continue
		}
		if n++; n > at {
			break
		}
		if err := disk.Apply(o); err != nil {
			return err
		}
		op = o
	}
	for _, kind := range Powers {
		rounds := 1
		if kind == PowerMixed {
			rounds = mixes
		}
		for round := range rounds {
			story := fmt.Sprintf("%s after change %d, seed %d", kind, at, round)
			dice := rand.New(rand.NewPCG(seedOf(m.Work.Name), uint64(at*mixes+round)))
			v, err := m.open(ctx, disk.Image(kind, dice), said)
			m.note(op.Point(), kind, v, err, story)
		}
	}
	return nil
}

func seedOf(name string) uint64 {
	h := fnv.New64a()
	h.Write([]byte(name)) // never fails
	return h.Sum64()
}

// Points lists the fault points, sorted.
func (m *Matrix) Points() []string {
	out := make([]string, 0, len(m.Cells))
	for point := range m.Cells {
		out = append(out, point)
	}
	slices.Sort(out)
	return out
}

// Failures lists what went wrong.
func (m *Matrix) Failures() []string {
	var out []string
	for _, point := range m.Points() {
		for _, kind := range slices.Concat(Injected, Powers) {
			if c := m.Cells[point][kind]; c != nil {
				for _, f := range c.Failures {
					out = append(out, fmt.Sprintf("%s: %s: %s", m.Work.Name, point, f))
				}
			}
		}
	}
	return out
}

// text is a cell of the table.
func (c *Cell) text() string {
	switch {
	case c == nil:
		return "–"
	case len(c.Failures) > 0:
		return fmt.Sprintf("**%d of %d failed**", len(c.Failures), c.Tried)
	case c.Refused > 0:
		return fmt.Sprintf("%d, %d refused", c.Tried, c.Refused)
	}
	return fmt.Sprint(c.Tried)
}

// head opens a table.
const head = `# The crash matrix: %s

Written by ` + "`make crash`" + `; the comment of package crash says how the faults are made. A cell says how many were tried, all of
which ended well: everything acknowledged was there exactly once and a fresh process worked on; "refused" counts those after
which it said in words that what it found is damaged. A dash: does not apply, or not met.
`

// Table writes the matrix in Markdown.
func (m *Matrix) Table() string {
	var b strings.Builder
	kinds := slices.Concat(Injected, Powers)
	fmt.Fprintf(&b, head, m.Work.Name)
	b.WriteString("\n| fault point |")
	for _, kind := range kinds {
		fmt.Fprintf(&b, " %s |", kind)
	}
	b.WriteString("\n|---|" + strings.Repeat("---|", len(kinds)) + "\n")
	for _, point := range m.Points() {
		fmt.Fprintf(&b, "| %s |", point)
		for _, kind := range kinds {
			fmt.Fprintf(&b, " %s |", m.Cells[point][kind].text())
		}
		b.WriteString("\n")
	}
	if len(m.Refusals) > 0 {
		b.WriteString("\nThe words of the refusals:\n\n")
		for _, text := range sortedByCount(m.Refusals) {
			fmt.Fprintf(&b, "- %d × %s\n", m.Refusals[text], text)
		}
	}
	return b.String()
}

func sortedByCount(counts map[string]int) []string {
	out := make([]string, 0, len(counts))
	for text := range counts {
		out = append(out, text)
	}
	slices.SortFunc(out, func(a, b string) int {
		return cmp.Or(cmp.Compare(counts[b], counts[a]), cmp.Compare(a, b))
	})
	return out
}
