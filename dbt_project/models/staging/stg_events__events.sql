with events as (

    select * from {{ source('raw', 'events') }}

)

select
    customer_id,
    product_id,
    kind,
    occurred_at,
    cast(occurred_at as date) as occurred_on,
    _delivery as delivery
from events
