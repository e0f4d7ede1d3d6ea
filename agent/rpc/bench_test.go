package rpc

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/steppe-project/steppe/agent/rpc/port"
)

// BenchmarkCall measures calls with 1 KB requests, 64 at a time.
func BenchmarkCall(b *testing.B) {
	text := strings.Repeat("x", 1024)
	for _, enc := range []bool{false, true} {
		b.Run(fmt.Sprintf("encrypted=%v", enc), func(b *testing.B) {
			a, pool := benchAgent(b, enc)
			c := pool.At(a)
			b.SetParallelism(32)
			b.ReportAllocs()
			b.ResetTimer()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if _, err := echo.Call(context.Background(), c, &note{Text: text}); err != nil {
						b.Error(err)
						return
					}
				}
			})
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "calls/s")
		})
	}
}

func benchAgent(b *testing.B, encrypted bool) (string, *Pool) {
	sec := port.Plaintext()
	if encrypted {
		var err error
		if sec, err = port.FromKey(testKey, "a", ""); err != nil {
			b.Fatal(err)
		}
	}
	a := startAgent(b, "a", sec)
	pool := NewPool(sec, slog.Default())
	b.Cleanup(pool.Close)
	return a.addr, pool
}
