// The access graph's way to its database, by the driver that it uses: pgx with the URI of a pod.
//
// `pgx-client prove` logs in, makes a schema and a table and takes them away; `pgx-client load` opens short connections
// until its standard input ends. Both print one JSON object. No secret is taken from the command line, and none is printed.
package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

const (
	// The variable in which the chart gives the URI to the service.
	uriVariable = "TAG_POSTGRES_CONNECTION"
	// Set where the login is by IAM: the region of the instance, as the service's `backend.postgres.aws.region`.
	regionVariable = "PGX_CLIENT_IAM_REGION"
	connectTimeout = 15 * time.Second
)

func main() {
	command := ""
	if len(os.Args) == 2 {
		command = os.Args[1]
	}
	var result any
	var err error
	switch command {
	case "prove":
		result, err = prove(context.Background())
	case "load":
		result, err = load(context.Background(), os.Stdin)
	default:
		err = errors.New("usage: pgx-client prove|load")
	}
	if err != nil {
		// Words of pgx's: they name the user and the database, never the password.
		result = map[string]string{"error": err.Error()}
	}
	if printed := json.NewEncoder(os.Stdout).Encode(result); printed != nil || err != nil {
		os.Exit(1)
	}
}

// configuration of a pool of one connection, or the reason why the URI cannot be used.
func configuration() (*pgxpool.Config, error) {
	uri := os.Getenv(uriVariable)
	if uri == "" {
		return nil, fmt.Errorf("%s is not set", uriVariable)
	}
	config, err := pgxpool.ParseConfig(uri)
	if err != nil {
		return nil, err
	}
	config.MaxConns = 1
	config.ConnConfig.ConnectTimeout = connectTimeout
	config.ConnConfig.LookupFunc = lookup(config.ConnConfig.Port)
	if region := os.Getenv(regionVariable); region != "" {
		config.BeforeConnect = tokenOf(region)
	}
	return config, nil
}

// Proof is what one login can do.
type Proof struct {
	Server      string `json:"server"`
	Login       string `json:"login"`
	ActsAs      string `json:"actsAs"`
	TLS         string `json:"tls"`
	Certificate string `json:"certificate"` // the name that was asked for, and that the certificate has
	SchemaOwner string `json:"schemaOwner"`
	TableOwner  string `json:"tableOwner"`
	Rows        int    `json:"rows"`
}

func prove(ctx context.Context) (*Proof, error) {
	config, err := configuration()
	if err != nil {
		return nil, err
	}
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, err
	}
	defer pool.Close()
	connection, err := pool.Acquire(ctx)
	if err != nil {
		return nil, err
	}
	defer connection.Release()
	proof := &Proof{}
	secured, ok := connection.Conn().PgConn().Conn().(*tls.Conn)
	if !ok {
		return nil, errors.New("the connection is not encrypted")
	}
	state := secured.ConnectionState()
	if len(state.VerifiedChains) == 0 {
		return nil, errors.New("the server's certificate was not verified")
	}
	proof.TLS, proof.Certificate = tls.VersionName(state.Version), state.ServerName
	if err := state.PeerCertificates[0].VerifyHostname(state.ServerName); err != nil {
		return nil, err
	}
	row := connection.QueryRow(ctx, "SELECT current_setting('server_version'), session_user::text, current_user::text")
	if err := row.Scan(&proof.Server, &proof.Login, &proof.ActsAs); err != nil {
		return nil, err
	}
	return proof, objects(ctx, connection.Conn(), proof)
}

// objects makes what the service makes at its start, and takes it away.
func objects(ctx context.Context, connection *pgx.Conn, proof *Proof) (err error) {
	schema := fmt.Sprintf("pgx_client_%d", os.Getpid())
	name := pgx.Identifier{schema}.Sanitize()
	if _, err := connection.Exec(ctx, "CREATE SCHEMA "+name); err != nil {
		return err
	}
	defer func() {
		_, dropped := connection.Exec(ctx, "DROP SCHEMA "+name+" CASCADE")
		err = errors.Join(err, dropped)
	}()
	if _, err := connection.Exec(ctx, "CREATE TABLE "+name+".nodes (id text PRIMARY KEY, kind text NOT NULL)"); err != nil {
		return err
	}
	for _, id := range []string{"a", "b"} {
		if _, err := connection.Exec(ctx, "INSERT INTO "+name+".nodes VALUES ($1, $2)", id, "user"); err != nil {
			return err
		}
	}
	return connection.QueryRow(ctx,
		"SELECT pg_get_userbyid(nspowner), pg_get_userbyid(relowner), (SELECT count(*) FROM "+name+".nodes)"+
			" FROM pg_namespace JOIN pg_class ON relnamespace = pg_namespace.oid AND relname = 'nodes' WHERE nspname = $1",
		schema,
	).Scan(&proof.SchemaOwner, &proof.TableOwner, &proof.Rows)
}
