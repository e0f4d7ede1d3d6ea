package httpapi

import (
	"strings"
	"time"

	"github.com/prometheus/common/expfmt"

	"github.com/steppe-project/steppe/agent/httpapi/metricsjson"
)

func (s *Server) metrics(q *request) (any, error) {
	families, err := s.cfg.Gatherer.Gather()
	if err != nil && len(families) == 0 {
		return nil, err
	}
	if f := q.param("format"); f == "prometheus" || strings.Contains(q.r.Header.Get("Accept"), "text/plain;version") {
		q.w.Header().Set("Content-Type", string(expfmt.NewFormat(expfmt.TypeTextPlain)))
		enc := expfmt.NewEncoder(q.w, expfmt.NewFormat(expfmt.TypeTextPlain))
		for _, f := range families {
			if err := enc.Encode(f); err != nil {
				break // the reader is gone
			}
		}
		return nil, errDone
	} else if f != "" {
		return nil, bad("unknown metrics format %q: leave it out for JSON, or say prometheus", f)
	}
	return metricsjson.Of(families, time.Now()), nil
}
