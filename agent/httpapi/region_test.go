package httpapi

import (
	"context"
	"encoding/json"
	"log/slog"
	"net"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/steppe-project/steppe/agent/rpc"
	"github.com/steppe-project/steppe/agent/rpc/msg"
	"github.com/steppe-project/steppe/agent/rpc/port"
)

// neighbour knows the region west at one address.
type neighbour struct{ addr string }

func (neighbour) Name() string { return "global" }
func (n neighbour) Servers(region string) ([]string, bool) {
	return []string{n.addr}, region == "west"
}

type west struct{}

func (west) Name() string                    { return "west" }
func (west) Servers(string) ([]string, bool) { return nil, false }

// federated is the API of an agent of the region global, which knows a server of
// the region west; register gets both's handlers.
func federated(t *testing.T, register func(srv *rpc.Server, region string)) *httptest.Server {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	far := rpc.NewServer(rpc.Config{Logger: log, Regions: west{}})
	register(far, "west")
	l := port.NewListener(port.ListenerConfig{Listener: ln, Security: port.Plaintext(), Logger: log})
	ctx, cancel := context.WithCancel(context.Background())
	pool := rpc.NewPool(port.Plaintext(), log)
	var wg sync.WaitGroup
	wg.Go(func() { _ = l.Run(ctx) })
	wg.Go(func() { _ = far.Run(ctx, l.RPC()) })
	t.Cleanup(func() { pool.Close(); cancel(); wg.Wait() })
	near := rpc.NewServer(rpc.Config{Logger: log, Pool: pool, Regions: neighbour{ln.Addr().String()}})
	register(near, "global")
	s := New(Config{Servers: near.Caller(), Agent: fakeAgent{}, Region: "global", Gatherer: prometheus.NewRegistry(), Logger: log})
	h := httptest.NewServer(s.Handler())
	t.Cleanup(h.Close)
	return h
}

// TestRequestsGoToTheirRegion: by ?region=, by the job's region, and nowhere when
// nobody has heard of it.
func TestRequestsGoToTheirRegion(t *testing.T) {
	type asked struct{ region, request string }
	var got []asked
	h := federated(t, func(srv *rpc.Server, region string) {
		rpc.Handle(srv, msg.JobRegister, func(_ context.Context, r *msg.JobRegisterRequest) (*msg.JobRegisterResponse, error) {
			got = append(got, asked{region, r.RequestID})
			return &msg.JobRegisterResponse{EvalID: region}, nil
		})
		rpc.Handle(srv, msg.StatusRegions, func(context.Context, *msg.StatusRequest) (*msg.StringsResponse, error) {
			return &msg.StringsResponse{Values: []string{"global", "west"}}, nil
		})
		rpc.HandleStream(srv, msg.ClientLogs, func(_ context.Context, st *rpc.Stream[msg.FileFrame, msg.AllocLogsRequest]) error {
			if _, err := st.Recv(); err != nil {
				return err
			}
			return st.Send(&msg.FileFrame{Data: []byte("log of " + region)})
		})
	})
	for _, tt := range []struct {
		query, body, want string
		status            int
	}{
		{"", `{"Job":{"ID":"x"}}`, "global", 200},
		{"", `{"Job":{"ID":"x","Region":"global"}}`, "global", 200},
		{"", `{"Job":{"ID":"x","Region":"west"}}`, "west", 200},
		{"", `{"Region":"west","Job":{"ID":"x"}}`, "west", 200},
		{"?region=west", `{"Job":{"ID":"x"}}`, "west", 200},
		{"?region=global", `{"Job":{"ID":"x"}}`, "global", 200},
		{"?region=mars", `{"Job":{"ID":"x"}}`, "No path to region", 500},
		{"", `{"Job":{"ID":"x","Region":"mars"}}`, "No path to region", 500},
	} {
		got = nil
		resp, body := do(t, "PUT", h.URL+"/v1/jobs"+tt.query, tt.body)
		if resp.StatusCode != tt.status || !strings.Contains(body, tt.want) {
			t.Errorf("%s %s: %d %q", tt.query, tt.body, resp.StatusCode, body)
		}
		if tt.status == 200 && (len(got) != 1 || got[0].region != tt.want || (got[0].request != "") != (tt.want == "west")) {
			t.Errorf("%s %s: asked %+v", tt.query, tt.body, got)
		}
	}
	if _, body := do(t, "GET", h.URL+"/v1/client/fs/logs/x?task=t&type=stdout&plain=true&region=west", ""); body != "log of west" {
		t.Errorf("logs: %q", body)
	}
}

// TestRoutesOfTheAgentItself: what this agent answers by itself it answers
// whatever the region, if there is one of that name; what would change it is for
// its own region only.
func TestRoutesOfTheAgentItself(t *testing.T) {
	h := federated(t, func(srv *rpc.Server, region string) {
		rpc.Handle(srv, msg.StatusRegions, func(context.Context, *msg.StatusRequest) (*msg.StringsResponse, error) {
			return &msg.StringsResponse{Values: []string{"global", "west"}}, nil
		})
		rpc.Handle(srv, msg.StatusMembers, func(context.Context, *msg.StatusRequest) (*msg.MembersResponse, error) {
			return &msg.MembersResponse{Members: []*msg.Member{
				{Name: "g1.global", Tags: map[string]string{"region": "global"}}, {Name: "w1.west", Tags: map[string]string{"region": "west"}},
			}}, nil
		})
	})
	for _, tt := range []struct {
		method, path string
		status       int
		want         string
	}{
		{"GET", "/v1/agent/self?region=west", 200, "n1"},
		{"GET", "/v1/agent/self?region=mars", 500, "No path to region"},
		{"GET", "/v1/services?region=west", 200, "[]"},
		{"GET", "/v1/services?region=mars", 500, "No path to region"},
		{"PUT", "/v1/agent/join?address=x&region=west", 400, `ask an agent of region "west"`},
		{"PUT", "/v1/agent/leave?region=west", 400, `ask an agent of region "west"`},
		{"GET", "/v1/agent/monitor?region=west", 400, `ask an agent of region "west"`},
		{"PUT", "/v1/agent/join?address=x&wan=true", 200, `"num_joined":1`},
		{"PUT", "/v1/agent/join?address=x&wan=perhaps", 400, "wan"},
		{"PUT", "/v1/validate/job?region=mars", 500, "No path to region"},
	} {
		if resp, body := do(t, tt.method, h.URL+tt.path, `{"Job":{"ID":"x"}}`); resp.StatusCode != tt.status || !strings.Contains(body, tt.want) {
			t.Errorf("%s: %d %q", tt.path, resp.StatusCode, body)
		}
	}
	for query, want := range map[string]string{"": "n1 w1.west", "?region=west": "g1.global w1.west"} {
		_, body := do(t, "GET", h.URL+"/v1/agent/members"+query, "")
		var reply struct{ Members []Member }
		if err := json.Unmarshal([]byte(body), &reply); err != nil {
			t.Fatal(err, body)
		}
		var names []string
		for _, m := range reply.Members {
			names = append(names, m.Name)
		}
		if strings.Join(names, " ") != want {
			t.Errorf("members%s: %v", query, names)
		}
	}
}
