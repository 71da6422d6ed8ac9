// Package alerts checks the chart's alerts and its dashboard with Prometheus' own engine.
package alerts

import (
	"context"
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/promql/promqltest"
	"go.yaml.in/yaml/v3"
)

const (
	alertsFile    = "../../scalegate/files/alerts.yaml"
	dashboardFile = "../../scalegate/files/dashboard.json"
	// What the chart puts in place of SELECTOR.
	selector = `namespace="scalegate",job="scalegate-metrics"`
)

type alert struct {
	Alert       string
	Expr        string
	For         string
	Labels      map[string]string
	Annotations map[string]string
}

// A case of cases.yaml: after these series, the alert's expression has so many results at a time.
type example struct {
	Alert string
	Why   string
	Load  string
	At    time.Duration
	Fires int
}

func read[T any](t *testing.T, file string) T {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var value T
	if err := yaml.Unmarshal(text, &value); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	return value
}

func alerts(t *testing.T) map[string]alert {
	t.Helper()
	all := map[string]alert{}
	for _, one := range read[[]alert](t, alertsFile) {
		one.Expr = strings.ReplaceAll(one.Expr, "SELECTOR", selector)
		all[one.Alert] = one
	}
	return all
}

func TestEveryAlertSaysWhatItIsAndWhatToDo(t *testing.T) {
	for name, alert := range alerts(t) {
		for _, annotation := range []string{"summary", "description", "runbook"} {
			if alert.Annotations[annotation] == "" {
				t.Errorf("%s has no %s", name, annotation)
			}
		}
		if severity := alert.Labels["severity"]; severity != "critical" && severity != "warning" {
			t.Errorf("%s has the severity %q", name, severity)
		}
		if _, err := time.ParseDuration(alert.For); err != nil {
			t.Errorf("%s: for: %v", name, err)
		}
	}
}

func TestAlertsFireWhenTheyShouldAndNotElse(t *testing.T) {
	all := alerts(t)
	fires, keepsQuiet := map[string]bool{}, map[string]bool{}
	for _, example := range read[[]example](t, "cases.yaml") {
		t.Run(example.Alert+": "+example.Why, func(t *testing.T) {
			alert, known := all[example.Alert]
			if !known {
				t.Fatal("there is no such alert")
			}
			if found := results(t, alert.Expr, example); found != example.Fires {
				t.Errorf("%d results, not %d", found, example.Fires)
			}
		})
		fires[example.Alert] = fires[example.Alert] || example.Fires > 0
		keepsQuiet[example.Alert] = keepsQuiet[example.Alert] || example.Fires == 0
	}
	for name := range all {
		if !fires[name] || !keepsQuiet[name] {
			t.Errorf("cases.yaml shows %s not both firing and quiet", name)
		}
	}
}

func results(t *testing.T, expression string, example example) int {
	t.Helper()
	script := "load 1m\n"
	for line := range strings.Lines(strings.ReplaceAll(example.Load, "SELECTOR", selector)) {
		script += "  " + line
	}
	storage := promqltest.LoadedStorage(t, script)
	engine := promqltest.NewTestEngine(t, false, 5*time.Minute, 1_000_000)
	query, err := engine.NewInstantQuery(context.Background(), storage, nil, expression, time.Unix(0, 0).Add(example.At))
	if err != nil {
		t.Fatal(err)
	}
	defer query.Close()
	answer := query.Exec(context.Background())
	vector, err := answer.Vector()
	if err != nil {
		t.Fatal(err)
	}
	return len(vector)
}

func TestEveryPanelAsksWhatPrometheusUnderstands(t *testing.T) {
	text, err := os.ReadFile(dashboardFile)
	if err != nil {
		t.Fatal(err)
	}
	var dashboard struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal(text, &dashboard); err != nil {
		t.Fatal(err)
	}
	if len(dashboard.Panels) == 0 {
		t.Fatal("there are no panels")
	}
	for _, panel := range dashboard.Panels {
		for _, target := range panel.Targets {
			expression := strings.ReplaceAll(target.Expr, "$__rate_interval", "5m")
			if _, err := parser.NewParser(parser.Options{}).ParseExpr(expression); err != nil {
				t.Errorf("%s: %v", panel.Title, err)
			}
		}
	}
}
