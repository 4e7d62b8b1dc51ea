package main

import (
	"context"
	"io"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
)

const (
	workers = 2
	// Each worker begins a connection that often, so that the load is steady: 20 a second from one process.
	interval = 100 * time.Millisecond
	// The first few say what went wrong.
	shownFailures = 5
)

// Load is what came of the short connections of one process.
type Load struct {
	Connections int       `json:"connections"`
	Failed      int       `json:"failed"`
	Failures    []Failure `json:"failures"`
	Logins      []string  `json:"logins"`
}

// Failure is a connection that was refused or broken. `Begun` is when it was asked for, RFC 3339.
type Failure struct {
	Begun string `json:"begun"`
	Error string `json:"error"`
}

// load opens, uses and closes connections until `end` has nothing more to read.
func load(ctx context.Context, end io.Reader) (*Load, error) {
	config, err := configuration()
	if err != nil {
		return nil, err
	}
	ended := make(chan struct{})
	go func() {
		_, _ = io.Copy(io.Discard, end)
		close(ended)
	}()
	result := &Load{Failures: []Failure{}, Logins: []string{}}
	var guard sync.Mutex
	var running sync.WaitGroup
	for range workers {
		running.Go(func() {
			ticker := time.NewTicker(interval)
			defer ticker.Stop()
			for {
				begun := time.Now()
				login, err := shortConnection(ctx, config)
				guard.Lock()
				result.add(begun, login, err)
				guard.Unlock()
				select {
				case <-ended:
					return
				case <-ticker.C:
				}
			}
		})
	}
	running.Wait()
	return result, nil
}

func shortConnection(ctx context.Context, config *pgxpool.Config) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	pool, err := pgxpool.NewWithConfig(ctx, config.Copy())
	if err != nil {
		return "", err
	}
	defer pool.Close()
	var login string
	err = pool.QueryRow(ctx, "SELECT session_user::text FROM public.access_graph_clusters LIMIT 1").Scan(&login)
	return login, err
}

func (result *Load) add(begun time.Time, login string, err error) {
	result.Connections++
	if err != nil {
		result.Failed++
		if len(result.Failures) < shownFailures {
			result.Failures = append(result.Failures, Failure{begun.UTC().Format(time.RFC3339Nano), err.Error()})
		}
		return
	}
	for _, known := range result.Logins {
		if known == login {
			return
		}
	}
	result.Logins = append(result.Logins, login)
}
