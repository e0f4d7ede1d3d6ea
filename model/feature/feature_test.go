package feature

import (
	"strings"
	"testing"
)

func TestLevelsAreDescribed(t *testing.T) {
	all := All()
	if len(all) != int(Newest) {
		t.Fatalf("%d descriptions of %d levels", len(all), Newest)
	}
	for i, d := range all {
		if d.Level != Level(i+1) || d.Name == "" || !strings.HasSuffix(d.Text, ".") {
			t.Errorf("level %d: %+v", i+1, d)
		}
	}
}

func TestCommon(t *testing.T) {
	srv := func(name string, understands Level, status string, member bool) Server {
		return Server{ID: name, Name: name, Understands: understands, Status: status, Member: member}
	}
	for _, tt := range []struct {
		name    string
		servers []Server
		want    Level
		why     string
	}{
		{"all new", []Server{srv("a", 3, "alive", true), srv("b", 3, "alive", true)}, 3, ""},
		{"one is newer", []Server{srv("a", 3, "alive", true), srv("b", 9, "alive", true)}, 3, ""},
		{"an old member", []Server{srv("a", 3, "alive", true), srv("b", 1, "alive", true)}, 1, "b understands level 1, not 3"},
		{"one in between", []Server{srv("a", 3, "alive", true), srv("b", 2, "alive", true)}, 2, "b understands level 2, not 3"},
		{"an old one that may come back", []Server{srv("a", 3, "alive", true), srv("b", 1, "failed", false)}, 1, "b understands level 1, not 3 (failed)"},
		{"an old one that left", []Server{srv("a", 3, "alive", true), srv("b", 1, "left", false)}, 3, ""},
		{"a member nobody sees", []Server{srv("a", 3, "alive", true), srv("b", 0, "unknown", true)}, 1, "b is not seen by gossip, so what it understands is not known"},
		{"an old one that has not joined", []Server{srv("a", 3, "alive", true), srv("b", 1, "alive", false)}, 1, "b understands level 1, not 3"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, lacking := Common(Base, 3, tt.servers)
			if why := strings.Join(lacking, "; "); got != tt.want || why != tt.why {
				t.Errorf("level %d (%s), want %d (%s)", got, why, tt.want, tt.why)
			}
			if err := Check(3, Base, 3, tt.servers); (err == nil) != (tt.want == 3) {
				t.Errorf("check: %v", err)
			}
		})
	}
	for want, err := range map[string]error{"never taken back": Check(2, 2, 3, nil), "understands up to 3": Check(4, 2, 3, nil)} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	if held := Held([]Server{{Name: "b", Holds: true, Status: "alive"}, {Name: "a", Holds: true, Status: "failed"}}); len(held) != 1 || held[0] != "b" {
		t.Errorf("held by %v", held)
	}
}
