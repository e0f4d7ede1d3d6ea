package alloc

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"io"
	"time"

	"github.com/steppe-project/steppe/command/base"
	"github.com/steppe-project/steppe/model"
)

const (
	// tailLines are shown for -tail without -n or -c.
	tailLines = 10
	// lineBytes is what a line is first taken to have; when that is too little,
	// more is read, up to maxTail.
	lineBytes = 256
	maxTail   = 64 << 20
	// caughtUp is how long a stream is silent before all that was there is taken
	// to have come.
	caughtUp = 200 * time.Millisecond
	// chunkBytes is read from a stream at once.
	chunkBytes = 32 << 10
)

// tail are the options that say where to begin and when to end.
type tail struct {
	follow, tail bool
	lines, bytes int64
}

func (t *tail) Flags(fs *flag.FlagSet) {
	fs.BoolVar(&t.follow, "f", false, "Go on as it grows.")
	fs.BoolVar(&t.tail, "tail", false, "Begin near the end: 10 lines before it, or what -n or -c says.")
	fs.Int64Var(&t.lines, "n", 0, "Begin this `number` of lines before the end.")
	fs.Int64Var(&t.bytes, "c", 0, "Begin this `number` of bytes before the end.")
}

func (t *tail) check() error {
	switch {
	case t.lines < 0 || t.bytes < 0:
		return model.Errorf(model.CodeInvalid, "-n and -c take a number, 0 or more")
	case t.lines > 0 && t.bytes > 0:
		return model.Errorf(model.CodeInvalid, "-n and -c exclude each other")
	case t.tail && t.lines == 0 && t.bytes == 0:
		t.lines = tailLines
	}
	return nil
}

// opener opens a text: from its start for 0, else that many bytes before its end.
type opener func(ctx context.Context, follow bool, fromEnd int64) (io.ReadCloser, error)

// print writes what was asked for of a text. Being interrupted is a good end.
func (t *tail) print(ctx context.Context, o *base.IO, open opener) error {
	err := t.write(ctx, o, open)
	if ctx.Err() != nil {
		return nil
	}
	return err
}

func (t *tail) write(ctx context.Context, o *base.IO, open opener) error {
	if t.lines == 0 {
		r, err := open(ctx, t.follow, t.bytes)
		if err != nil {
			return err
		}
		defer r.Close()
		return flow(o.Out, r)
	}
	text, window, err := t.end(ctx, open)
	if err != nil {
		return err
	}
	if !t.follow {
		_, err := o.Out.Write(text)
		return err
	}
	r, err := open(ctx, true, window)
	if err != nil {
		return err
	}
	defer r.Close()
	return t.goOn(o, r, window)
}

// end is the last lines of a text, and how many bytes had to be read for them.
func (t *tail) end(ctx context.Context, open opener) (text []byte, window int64, err error) {
	for window = (t.lines + 1) * lineBytes; ; window *= 4 {
		window = min(window, maxTail)
		r, err := open(ctx, false, window)
		if err != nil {
			return nil, 0, err
		}
		text, err = io.ReadAll(io.LimitReader(r, window))
		_ = r.Close() // it was only read
		if err != nil {
			return nil, 0, err
		}
		last, whole := lastLines(text, t.lines)
		if whole || int64(len(text)) < window || window == maxTail {
			return last, window, nil
		}
	}
}

// lastLines are the last n lines of a text; whole tells that there are as many.
func lastLines(text []byte, n int64) (last []byte, whole bool) {
	at := len(text)
	if at > 0 && text[at-1] == '\n' {
		at--
	}
	for ; n > 0; n-- {
		if at = bytes.LastIndexByte(text[:max(at, 0)], '\n'); at < 0 {
			return text, false
		}
	}
	return text[at+1:], true
}

// goOn follows a stream that began window bytes before the end: what was there
// already is shortened to the last lines, which it is known to be once so much
// has come or nothing more does for a while.
func (t *tail) goOn(o *base.IO, r io.ReadCloser, window int64) error {
	chunks, stop := chunksOf(r)
	defer stop()
	var held []byte
	silence := time.NewTimer(caughtUp)
	defer silence.Stop()
	for holding := true; holding; {
		select {
		case c := <-chunks:
			held = append(held, c.data...)
			if c.err != nil {
				last, _ := lastLines(held, t.lines)
				if _, err := o.Out.Write(last); err != nil {
					return err
				}
				return ended(c.err)
			}
			holding = int64(len(held)) < window
			silence.Reset(caughtUp)
		case <-silence.C:
			holding = false
		}
	}
	last, _ := lastLines(held, t.lines)
	if _, err := o.Out.Write(last); err != nil {
		return err
	}
	for c := range chunks {
		if _, err := o.Out.Write(c.data); err != nil {
			return err
		}
		if c.err != nil {
			return ended(c.err)
		}
	}
	return nil
}

func ended(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// chunk is what one read gave.
type chunk struct {
	data []byte
	err  error
}

// chunksOf reads a stream in a goroutine; stop closes the stream and waits for
// the goroutine to end.
func chunksOf(r io.ReadCloser) (chunks <-chan chunk, stop func()) {
	out, done := make(chan chunk), make(chan struct{})
	go func() {
		defer close(out)
		for {
			buf := make([]byte, chunkBytes)
			n, err := r.Read(buf)
			select {
			case out <- chunk{buf[:n], err}:
			case <-done:
				return
			}
			if err != nil {
				return
			}
		}
	}()
	return out, func() {
		close(done)
		_ = r.Close() // it was only read
		for range out {
		}
	}
}

// flow copies a stream to its end.
func flow(w io.Writer, r io.Reader) error {
	_, err := io.Copy(w, r)
	return err
}
