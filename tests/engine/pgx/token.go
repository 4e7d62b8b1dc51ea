package main

import (
	"context"
	"net"
	"strconv"

	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/feature/rds/auth"
	"github.com/jackc/pgx/v5"
)

// tokenOf gives each new connection a token of its own, signed with the credentials that AWS's SDK finds.
func tokenOf(region string) func(context.Context, *pgx.ConnConfig) error {
	return func(ctx context.Context, connection *pgx.ConnConfig) error {
		found, err := config.LoadDefaultConfig(ctx, config.WithRegion(region))
		if err != nil {
			return err
		}
		endpoint := net.JoinHostPort(connection.Host, strconv.Itoa(int(connection.Port)))
		connection.Password, err = auth.BuildAuthToken(ctx, endpoint, region, connection.User, found.Credentials)
		return err
	}
}
