// Says which alerts of a PrometheusRule fire, minute by minute, by Prometheus' own rules and PromQL.
//
// Reads from stdin: {"spec": <the rule's>, "start": <RFC 3339>, "minutes": n, "series": {"<series>": "<values, one a
// minute, as promtool's tests write them>"}}. Writes a list of n + 1 lists of {"name", "labels", "annotations"}.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/prometheus/common/promslog"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/promqltest"
	"github.com/prometheus/prometheus/rules"
)

type question struct {
	Spec    json.RawMessage   `json:"spec"`
	Start   time.Time         `json:"start"`
	Minutes int               `json:"minutes"`
	Series  map[string]string `json:"series"`
}

type alert struct {
	Name        string            `json:"name"`
	Labels      map[string]string `json:"labels"`
	Annotations map[string]string `json:"annotations"`
}

func main() {
	answer, err := judge()
	if err == nil {
		err = json.NewEncoder(os.Stdout).Encode(answer)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func judge() ([][]alert, error) {
	var asked question
	if err := json.NewDecoder(os.Stdin).Decode(&asked); err != nil {
		return nil, err
	}
	directory, err := os.MkdirTemp("", "alerts")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(directory)
	file := filepath.Join(directory, "rules.yaml")
	// JSON is YAML, and a PrometheusRule's spec has the form of a rules file.
	if err := os.WriteFile(file, asked.Spec, 0o600); err != nil {
		return nil, err
	}

	load := []string{"load 1m"}
	for series, values := range asked.Series {
		load = append(load, "  "+series+" "+values)
	}
	options := promqltest.LazyLoaderOpts{EnableAtModifier: true, EnableNegativeOffset: true, StartTime: asked.Start}
	world, err := promqltest.NewLazyLoader(strings.Join(load, "\n"), options)
	if err != nil {
		return nil, err
	}
	defer world.Close()
	manager := rules.NewManager(&rules.ManagerOptions{
		QueryFunc:  rules.EngineQueryFunc(world.QueryEngine(), world.Storage()),
		Appendable: world.Storage(),
		Context:    context.Background(),
		NotifyFunc: func(context.Context, string, ...*rules.Alert) {},
		Logger:     promslog.NewNopLogger(),
	})
	groups, errs := manager.LoadGroups(time.Minute, labels.EmptyLabels(), "", nil, false, file)
	if len(errs) > 0 {
		return nil, errs[0]
	}

	answer := make([][]alert, 0, asked.Minutes+1)
	for minute := 0; minute <= asked.Minutes; minute++ {
		at := asked.Start.Add(time.Duration(minute) * time.Minute)
		var failed error
		world.WithSamplesTill(at, func(err error) {
			failed = err
			for _, group := range groups {
				group.Eval(world.Context(), at)
			}
		})
		if failed != nil {
			return nil, failed
		}
		firing := []alert{}
		for _, group := range groups {
			for _, rule := range group.Rules() {
				if err := rule.LastError(); err != nil {
					return nil, fmt.Errorf("%s: %w", rule.Name(), err)
				}
			}
			for _, rule := range group.AlertingRules() {
				for _, active := range rule.ActiveAlerts() {
					if active.State == rules.StateFiring {
						firing = append(firing, alert{rule.Name(), active.Labels.Map(), active.Annotations.Map()})
					}
				}
			}
		}
		answer = append(answer, firing)
	}
	return answer, nil
}
